"""A loaded model as a session takes it: no large weight is copied, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from analyzer.graph.external_files import gathered
from analyzer.graph.nested import all_graphs, within
from analyzer.graph.runnable import HALVES, LENT_LOCATION, Runnable, lendable, stand_in, weights_of
from analyzer.graph.stored import StoredTensor, UnusualFile, skeleton
from analyzer.graph.validate import all_tensors

if TYPE_CHECKING:
    from analyzer.graph.load import LoadedModel

_CASTS = frozenset({"Cast", "CastLike"})
_TYPES = ("to", "dtype", "output_dtype")  # attributes that name an element type


def runnable(loaded: LoadedModel) -> Runnable:
    """The model with its large weights left where they are: in its file, in files beside it, or in memory.

    Raises:
        ModelError: the file is gone or has changed since it was loaded.
    """
    proto, folder, lent = thin_runnable(loaded)
    return Runnable(proto.SerializeToString(), folder, lent, _casts_what_is_transposed(proto), weights_of(proto.graph))


def as_given(loaded: LoadedModel) -> Runnable:
    """The file itself, of which nothing was changed: what a model made from it is compared with.

    Raises:
        ModelError: the file is gone or has changed since it was loaded.
    """
    data, lent = loaded.content, dict[str, ir.TensorProtocol]()
    try:
        content, places = skeleton(data)
    except UnusualFile:
        content, places = bytes(data), {}
    proto = onnx.ModelProto.FromString(content)
    read = {value.name for value in proto.graph.output}
    # a function has names of its own
    read.update(name for graph in within(proto.graph) for node in graph.node for name in node.input)
    for tensor in proto.graph.initializer:
        if (place := places.get(tensor.name)) is None or tensor.raw_data:
            continue
        dtype = ir.DataType(tensor.data_type).numpy()
        if isinstance(data, mmap):
            assert loaded.path is not None
            where = {"location": loaded.path.resolve().name, "offset": place.offset, "length": place.length}
        elif dtype.kind in "fiub" and tensor.name in read:
            array = np.frombuffer(data, np.uint8, place.length, place.offset).view(dtype).reshape(tensor.dims)
            lent[tensor.name] = ir.Tensor(np.require(array, requirements="A"), name=tensor.name)
            where = {"location": LENT_LOCATION, "offset": 0, "length": place.length}
        else:
            tensor.raw_data = data[place.offset : place.offset + place.length]
            continue
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, entry in where.items():
            tensor.external_data.add(key=key, value=str(entry))
    folder = _gather(loaded, proto)
    return Runnable(proto.SerializeToString(), folder, lent, _casts_what_is_transposed(proto), weights_of(proto.graph))


def thin_runnable(loaded: LoadedModel) -> tuple[onnx.ModelProto, Path | None, dict[str, ir.TensorProtocol]]:
    """The same before it becomes bytes: without large weights, where external data lies, and those in memory.

    Raises:
        ModelError: the file is gone or has changed since it was loaded.
    """
    loaded.release()
    proto, lent = thin_proto(loaded)
    return proto, _gather(loaded, proto), lent


def thin_proto(loaded: LoadedModel) -> tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]:
    """The model without its large weights, and those that lie in memory."""
    lent: dict[str, ir.TensorProtocol] = {}
    with weights_left_out(loaded.model, lent):
        return ir.to_proto(loaded.model), lent


def _casts_what_is_transposed(proto: onnx.ModelProto) -> bool:
    """Whether a Cast may come to stand behind a Transpose, which onnxruntime moves past others, but not past products.

    It adds Casts of halves by itself. In subgraphs and functions nothing is followed.
    """
    graphs = [*all_graphs(proto)]
    nodes = [node for graph in graphs for node in graph.node]
    kinds = {node.op_type for node in nodes}
    if "Transpose" not in kinds or _holds_halves(proto):
        return "Transpose" in kinds
    if len(graphs) > 1:
        return not _CASTS.isdisjoint(kinds)
    moved, before = {name for node in nodes if node.op_type == "Transpose" for name in node.output}, 0
    while len(moved) > before:  # nodes may stand in any order
        before = len(moved)
        for node in nodes:
            if moved.isdisjoint(node.input) or node.op_type == "Shape" or "MatMul" in node.op_type:
                continue
            if node.op_type in _CASTS:
                return True
            moved.update(name for name in node.output if name)
    return False


def _holds_halves(proto: onnx.ModelProto) -> bool:
    """Whether something is stored, fed or made in half precision; lists and what may be missing count as well."""
    inputs = (value.type.tensor_type.elem_type for value in proto.graph.input)
    made = (a.i for graph in all_graphs(proto) for node in graph.node for a in node.attribute if a.name in _TYPES)
    stored = (*all_tensors(proto), *(sparse.values for sparse in proto.graph.sparse_initializer))
    unseen = any(not value.type.HasField("tensor_type") for value in proto.graph.input)
    return unseen or not HALVES.isdisjoint((*inputs, *made, *(tensor.data_type for tensor in stored)))


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
def weights_left_out(model: ir.Model, lent: dict[str, ir.TensorProtocol]) -> Iterator[None]:
    """While inside, large tensors of the main graph are mere references; `lent` gets those that lie in memory."""
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
                lent[name] = tensor
                value.const_value = stand_in(tensor, name)
        yield
    finally:
        for value, tensor in originals:
            value.const_value = tensor


def is_read(value: ir.Value) -> bool:
    """Whether the session keeps the tensor at all: it can be lent nothing that it drops."""
    return bool(value.uses()) or value.is_graph_output()
