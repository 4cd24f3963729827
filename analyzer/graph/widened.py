"""Stored tensors in double precision, for what is computed with more digits than the model has."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.deferred import Deferred, stored_as
from analyzer.graph.load import LoadedModel

_DOUBLE = np.dtype(np.float64)


def widen_stored(loaded: LoadedModel) -> None:
    """Store all tensors of the graph that are in single precision in double precision: no number changes.

    They are made when they are read.
    """
    for value in loaded.model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = _widened(value.const_value, str(value.name))
            value.type = ir.TensorType(ir.DataType.DOUBLE)


def _widened(stored: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    def make() -> Array:
        return np.asarray(stored.numpy(), _DOUBLE)

    return stored_as(Deferred(tuple(stored.shape.numpy()), _DOUBLE, make), name)
