"""Models as the stages take them: read, and folded by onnxruntime where that is asked for."""

from __future__ import annotations

from pathlib import Path

import onnx

from analyzer.errors import RunError, RunFailure
from analyzer.graph import LoadedModel, read_model
from analyzer.graph.lend import as_given
from analyzer.runtime.folding import fold
from analyzer.runtime.session import Optimization, Session


def load_model(source: str | Path | bytes | onnx.ModelProto) -> LoadedModel:
    """Load a path, the bytes of a file, or a ModelProto.

    Raises:
        ModelError: the file is missing, is not ONNX, is truncated, is too old, or its external data is unusable.
    """
    return read_model(source, fold)


def check_accepted(loaded: LoadedModel, threads: int | None = None) -> None:
    """Check that onnxruntime takes the file itself, whatever it makes of the form that we give it.

    One with an operator that onnxruntime lacks passes: that is asked for where the model has to be run.

    Raises:
        RunError: onnxruntime refuses the file.
    """
    try:
        Session(as_given(loaded), threads=threads, optimization=Optimization.NONE, few_runs=True).close()
    except RunError as error:
        if error.kind is not RunFailure.NO_KERNEL:
            raise
