"""Models as the stages take them: read, and folded by onnxruntime where that is asked for."""

from __future__ import annotations

from pathlib import Path

import onnx

from analyzer.graph import LoadedModel, read_model
from analyzer.runtime.folding import fold


def load_model(source: str | Path | bytes | onnx.ModelProto) -> LoadedModel:
    """Load a path, the bytes of a file, or a ModelProto.

    Raises:
        ModelError: the file is missing, is not ONNX, is truncated, is too old, or its external data is unusable.
    """
    return read_model(source, fold)
