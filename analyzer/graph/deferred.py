"""Arrays that are made of stored ones whenever they are read: a cut holds no second copy of the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from analyzer.algebra.pattern import Array, Shape

LARGE = 1 << 22  # bytes; smaller arrays are made once


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """What `make` makes, of this shape and element type."""

    shape: Shape
    dtype: np.dtype[Any]
    make: Callable[[], Array]

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)


def made(array: Array | Deferred) -> Array:
    """The array itself."""
    return array.make() if isinstance(array, Deferred) else array


def stored_as(array: Array | Deferred, name: str) -> ir.TensorProtocol:
    """The tensor of this name."""
    if not isinstance(array, Deferred):
        return ir.tensor(np.asarray(array, order="C"), name=name)
    kind, shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    return ir.LazyTensor(lambda: ir.tensor(array.make(), name=name), kind, shape, name=name)
