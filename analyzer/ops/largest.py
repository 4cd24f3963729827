"""How large results can be at most, from how large operands are: bounds that operators of several families share.

Everything that is multiplied counts as one at least: then a bound holds for what onnxruntime computes on the way, too,
such as the product of two weights that it makes one of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from analyzer.algebra.pattern import Array

CHUNK = 1 << 20  # elements of a weight that are looked at together
Stored = Callable[[int], Array | None]  # input position -> its array, where the file alone decides it


def most(numbers: Sequence[float] | Array) -> float:
    """The largest; NaN if any is, unlike Python's `max`."""
    return float(np.max(numbers))


def product(parts: Sequence[float]) -> float:
    """Of factors of at most these magnitudes."""
    return math.prod(most((1.0, part)) for part in parts)


def magnitude_of(array: Array) -> float:
    """The largest magnitude in an array of floats."""
    return most((float(array.max()), -float(array.min()))) if array.size else 0.0


def operands(xs: Sequence[float | None], stored: Stored) -> list[float] | None:
    """Of all inputs, stored floats too; None where nothing is known of some."""
    parts = []
    for place, x in enumerate(xs):
        array = stored(place) if x is None else None
        if x is None and (array is None or array.dtype != np.float32):
            return None
        parts.append(x if array is None else magnitude_of(array))
    return [part for part in parts if part is not None]


def weighted_sum(first: float, weight: Array | None, axis: int) -> float | None:
    """Of an operand of at most this magnitude, weighted by a stored matrix (axis -2) or kernel (axis -1: its rows)."""
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not weight.size:
        return None
    total = _absolute_sum(weight.reshape(len(weight), -1) if axis == -1 else weight, axis)
    return max(1.0, first) * most((1.0, total))


def _absolute_sum(weight: Array, axis: int) -> float:
    """Largest sum of magnitudes along an axis."""
    length = max(1, CHUNK * len(weight) // weight.size)
    parts = [weight[i : i + length] for i in range(0, len(weight), length)]
    sums = [np.abs(part).sum(axis=axis, dtype=np.float64) for part in parts]
    across = weight.ndim + axis == 0  # chunks lie along the axis that is summed
    return most(np.sum(sums, axis=0)) if across else most([most(s) for s in sums])


def shifted(total: float | None, inputs: Sequence[str], stored: Stored, factor: float = 1.0) -> float | None:
    """A sum with the bias added, the third input; None where that is computed."""
    bias = stored(2)
    if total is None or (bias is None and len(inputs) > 2 and inputs[2]):
        return None
    return total + (0.0 if bias is None else magnitude_of(bias) * factor)
