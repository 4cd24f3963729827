"""Write a model whose weights lie beside the file, without ever holding all of them in memory."""

from __future__ import annotations

from math import prod
from pathlib import Path

import onnx_ir as ir

from analyzer.graph.load import LoadedModel
from analyzer.graph.serialize import serialize

#: Weights larger than this go beside the file: protobuf holds 2 GiB, and readers need room for more than the weights.
LARGEST_INSIDE = 3 << 29
SMALLEST_BESIDE = 1024


def stored_bytes(loaded: LoadedModel) -> int:
    """Bytes of all stored tensors."""
    tensors = (value.const_value for value in _stored(loaded))
    return sum(t.nbytes if t.dtype != ir.DataType.STRING else prod(t.shape.numpy()) for t in tensors if t is not None)


def weights_beside(loaded: LoadedModel) -> bool:
    """Whether the model is written as two files: some of its weights lie beside the file already, or it is large."""
    return bool(loaded.beside) or stored_bytes(loaded) > LARGEST_INSIDE


def save_beside(loaded: LoadedModel, folder: Path, name: str) -> None:
    """Write `name`, and `name`.data for its large weights, into a folder; the loaded model stays as it is.

    Raises:
        OSError: a file cannot be written.
    """
    values = _stored(loaded)
    before = [value.const_value for value in values]
    try:
        ir.external_data.unload_from_model(loaded.model, folder, f"{name}.data", size_threshold_bytes=SMALLEST_BESIDE)
        (folder / name).write_bytes(serialize(loaded))
        if not (data := folder / f"{name}.data").stat().st_size:  # no weight is large enough to lie outside
            data.unlink()
    finally:
        for value, tensor in zip(values, before, strict=True):
            value.const_value = tensor


def _stored(loaded: LoadedModel) -> list[ir.Value]:
    """The values that the main graph and subgraphs store."""
    return [value for graph in loaded.model.graphs() for value in graph.initializers.values()]
