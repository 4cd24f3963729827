"""Models as the stages take them: read, and folded by onnxruntime where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

from analyzer.errors import RunError, RunFailure
from analyzer.graph import LoadedModel, read_model
from analyzer.graph.lend import as_given
from analyzer.runtime.folding import fold
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session

_SMALL = 1 << 26  # bytes


def load_model(source: object) -> LoadedModel:
    """Load a path, an address, the bytes of a file, a ModelProto, an onnx-ir model, or an ONNXProgram.

    Raises:
        ModelError: the file is missing, is not ONNX, is truncated, is too old, or its external data is unusable.
    """
    return read_model(source, fold)


@contextmanager
def accepted(loaded: LoadedModel, threads: int | None = None) -> Iterator[None]:
    """Check that onnxruntime takes the file itself, whatever it makes of the form that we give it.

    A small file is checked while the block runs, and its refusal is the answer, whatever went wrong there. A large one
    is checked before: two sessions at a time would hold its weights twice. A file with an operator that onnxruntime
    lacks passes: that is asked for where the model has to be run.

    Raises:
        RunError: onnxruntime refuses the file.
    """
    if loaded.size > _SMALL:
        _check_accepted(loaded, threads)
        yield
        return
    with ThreadPoolExecutor(1) as beside:
        check = beside.submit(copy_context().run, _check_accepted, loaded, threads)  # with the limit of runs
        try:
            yield
        finally:
            check.result()


def _check_accepted(loaded: LoadedModel, threads: int | None) -> None:
    try:
        Session(as_given(loaded), threads=threads, optimization=Optimization.NONE, few_runs=True).close()
    except RunError as error:
        if error.kind is not RunFailure.NO_KERNEL:
            raise
