"""A loaded model as a session takes it: no large weight is copied, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.external_files import gathered
from analyzer.graph.nested import all_graphs
from analyzer.graph.runnable import Runnable, lendable, stand_in
from analyzer.graph.stored import StoredTensor
from analyzer.graph.validate import all_tensors

if TYPE_CHECKING:
    from analyzer.graph.load import LoadedModel

HALF = onnx.TensorProto.FLOAT16
_TYPES = ("to", "dtype", "output_dtype")  # attributes that name an element type


def runnable(loaded: LoadedModel) -> Runnable:
    """The model with its large weights left where they are: in its file, in files beside it, or in memory.

    Raises:
        ModelError: the file is gone or has changed since it was loaded.
    """
    proto, folder, lent = thin_runnable(loaded)
    return Runnable(proto.SerializeToString(), folder, lent, _holds_halves(proto))


def thin_runnable(loaded: LoadedModel) -> tuple[onnx.ModelProto, Path | None, dict[str, Array]]:
    """The same before it becomes bytes: without large weights, where external data lies, and the arrays in memory.

    Raises:
        ModelError: the file is gone or has changed since it was loaded.
    """
    loaded.release()
    proto, lent = thin_proto(loaded)
    return proto, _gather(loaded, proto), lent


def thin_proto(loaded: LoadedModel) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model without its large weights, and the arrays of those that lie in memory."""
    lent: dict[str, Array] = {}
    with weights_left_out(loaded.model, lent):
        return ir.to_proto(loaded.model), lent


def _holds_halves(proto: onnx.ModelProto) -> bool:
    """Whether something is stored, fed or made in half precision."""
    inputs = (value.type.tensor_type.elem_type for value in proto.graph.input)
    made = (a.i for graph in all_graphs(proto) for node in graph.node for a in node.attribute if a.name in _TYPES)
    return HALF in inputs or HALF in made or any(tensor.data_type == HALF for tensor in all_tensors(proto))


def _gather(loaded: LoadedModel, proto: onnx.ModelProto) -> Path | None:
    """Name external data as it lies behind links; returns the folder to name it from."""
    if loaded.path is None:
        return None
    folder, names = gathered(loaded.beside, loaded.path.resolve())
    for tensor in all_tensors(proto):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = names.get(entry.value, entry.value)
    return folder


@contextmanager
def weights_left_out(model: ir.Model, lent: dict[str, Array]) -> Iterator[None]:
    """While inside, large tensors of the main graph are mere references; `lent` gets the arrays of those in memory."""
    originals: list[tuple[ir.Value, ir.TensorProtocol]] = []
    try:
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if isinstance(tensor, StoredTensor):
                originals.append((value, tensor))
                value.const_value = tensor.reference()
            elif (
                tensor is not None and not isinstance(tensor, ir.ExternalTensor) and lendable(tensor) and is_read(value)
            ):
                originals.append((value, tensor))
                lent[name] = np.ascontiguousarray(tensor.numpy())
                value.const_value = stand_in(tensor, name)
        yield
    finally:
        for value, tensor in originals:
            value.const_value = tensor


def is_read(value: ir.Value) -> bool:
    """Whether the session keeps the tensor at all: it can be lent nothing that it drops."""
    return bool(value.uses()) or value.is_graph_output()
