"""What a session is handed: large weights are lent to it instead of being copied into the bytes of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import onnx
import onnx_ir as ir

HALVES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
LENT_BYTES = 4096  # smaller tensors are copied
LENT_LOCATION = "lent-by-deadunits"  # named as the file of tensors whose arrays the session is handed


@dataclass(frozen=True, slots=True)
class Runnable:
    """The bytes of a model, the folder of its external data, and the weights in memory that the bytes only name.

    `casts_transposed`: a Cast may come behind a Transpose, in the file or as onnxruntime rewrites it. `weights`: bytes
    of those that are only named, as they are computed with.
    """

    content: bytes
    folder: Path | None = None
    lent: dict[str, ir.TensorProtocol] = field(default_factory=dict)
    casts_transposed: bool = False
    weights: int = 0


def weights_of(graph: onnx.GraphProto) -> int:
    """Bytes of the stored tensors that a graph only names, as they are computed with."""
    return sum(size_of(t) for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL)


def size_of(tensor: onnx.TensorProto) -> int:
    """Bytes of a stored tensor as it is computed with: halves are single precision on the CPU."""
    bits = ir.DataType(tensor.data_type).bitwidth if tensor.data_type != onnx.TensorProto.STRING else 8
    return prod(tensor.dims) * bits // 8 * (2 if tensor.data_type in HALVES else 1)


def lendable(tensor: ir.TensorProtocol) -> bool:
    """Large, and of an element type that NumPy itself knows."""
    if tensor.dtype == ir.DataType.STRING or tensor.nbytes < LENT_BYTES:
        return False
    return tensor.dtype.numpy().kind in "fiub" and tensor.dtype.bitwidth >= 8


def stand_in(tensor: ir.TensorProtocol, name: str) -> ir.ExternalTensor:
    """What takes the place of a tensor that is lent."""
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(LENT_LOCATION, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)


def stored_proto(tensor: ir.TensorProtocol, name: str, lent: dict[str, ir.TensorProtocol]) -> onnx.TensorProto:
    """The tensor as an initializer that needs no other file; `lent` gets it where it is large."""
    if lendable(tensor):
        lent[name] = tensor
        tensor = stand_in(tensor, name)
    elif isinstance(tensor, ir.ExternalTensor):
        tensor = ir.Tensor(tensor.numpy(), dtype=tensor.dtype)
    proto: onnx.TensorProto = ir.to_proto(tensor)
    proto.name = name
    return proto
