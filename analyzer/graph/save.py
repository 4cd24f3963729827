"""Write a model whose weights lie beside the file, without ever holding all of them in memory."""

from __future__ import annotations

from math import prod
from pathlib import Path

import onnx_ir as ir

from analyzer.graph.load import LoadedModel, external_files
from analyzer.graph.serialize import serialize

#: Weights larger than this go beside the file: protobuf holds 2 GiB, and readers need room for more than the weights.
LARGEST_INSIDE = 3 << 29
SMALLEST_BESIDE = 1024


def stored_bytes(loaded: LoadedModel) -> int:
    """Bytes of all stored tensors."""
    tensors = (v.const_value for v in loaded.model.graph.initializers.values())
    return sum(t.nbytes if t.dtype != ir.DataType.STRING else prod(t.shape.numpy()) for t in tensors if t is not None)


def weights_beside(loaded: LoadedModel) -> bool:
    """Whether the model is written as two files: some of its weights lie beside the file already, or it is large."""
    return bool(external_files(loaded.model)) or stored_bytes(loaded) > LARGEST_INSIDE


def save_beside(loaded: LoadedModel, folder: Path, name: str) -> None:
    """Write `name` and `name`.data into a folder; the loaded model stays as it is.

    Raises:
        OSError: a file cannot be written.
    """
    values = list(loaded.model.graph.initializers.values())
    before = [value.const_value for value in values]
    try:
        ir.external_data.unload_from_model(loaded.model, folder, f"{name}.data", size_threshold_bytes=SMALLEST_BESIDE)
        (folder / name).write_bytes(serialize(loaded))
    finally:
        for value, tensor in zip(values, before, strict=True):
            value.const_value = tensor
