"""What a session is handed: large weights are lent to it instead of being copied into the bytes of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from analyzer.algebra.pattern import Array

LENT_BYTES = 4096  # smaller tensors are copied
LENT_LOCATION = "lent-by-deadunits"  # named as the file of tensors whose arrays the session is handed


@dataclass(frozen=True, slots=True)
class Runnable:
    """The bytes of a model, the folder of its external data, and the arrays of weights that the bytes only name.

    `casts_transposed`: a Cast may come behind a Transpose, in the file or as onnxruntime rewrites it.
    """

    content: bytes
    folder: Path | None = None
    lent: dict[str, Array] = field(default_factory=dict)
    casts_transposed: bool = False


def lendable(tensor: ir.TensorProtocol) -> bool:
    """Large, and of an element type that NumPy itself knows."""
    if tensor.dtype == ir.DataType.STRING or tensor.nbytes < LENT_BYTES:
        return False
    return tensor.dtype.numpy().kind in "fiub" and tensor.dtype.bitwidth >= 8


def stand_in(tensor: ir.TensorProtocol, name: str) -> ir.ExternalTensor:
    """What takes the place of a tensor that is lent."""
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(LENT_LOCATION, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)


def stored_proto(tensor: ir.TensorProtocol, name: str, lent: dict[str, Array]) -> onnx.TensorProto:
    """The tensor as an initializer that needs no other file; `lent` gets its array where it is large."""
    if lendable(tensor):
        lent[name] = np.ascontiguousarray(tensor.numpy())
        tensor = stand_in(tensor, name)
    elif isinstance(tensor, ir.ExternalTensor):
        tensor = ir.Tensor(tensor.numpy(), dtype=tensor.dtype)
    proto: onnx.TensorProto = ir.to_proto(tensor)
    proto.name = name
    return proto
