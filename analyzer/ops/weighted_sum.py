"""What an operator says of itself where each of its units is a sum of input units, weighted by stored numbers.

Dense and grouped convolutions, products with a stored matrix, and their transposed, fused and quantised forms all read
alike: unit u is `sum over i and taps of rows[u, i, tap] * data[i] + offsets[u]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analyzer.algebra.pattern import Array


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """Where the parts of a weighted sum stand in a call, and its weights as numbers.

    `data`, `weight` and `bias` are input positions; `bias` is None where the operator takes none. `axis` of the data is
    summed over, `unit_axis` of the output holds the units (None where several axes do). Units of the g-th of `groups`
    parts read the g-th part of `axis`. `stored_axis` is the axis of the stored weight, taken as it is, along which its
    inputs lie; None where they lie on none alone. `plain` says that numbers are stored and computed as floats.
    `absorbs`: what a constant input always adds can go into a bias, whatever its value. `activated`: the operator does
    not give the sum, but an activation of it. `step` is what all weights were rounded to, and `scales` are factors that
    the operator puts on products and on the bias.
    """

    data: int
    weight: int
    bias: int | None
    axis: int | None
    unit_axis: int | None
    dequantised: Callable[[], Array] | None
    added: Callable[[int], Array | None]
    groups: int = 1
    stored_axis: int | None = None
    plain: bool = True
    absorbs: bool = True
    activated: bool = False
    step: float | None = None
    scales: tuple[float, float] = (1.0, 1.0)

    @cached_property
    def rows(self) -> Array | None:
        """The weights, [units, inputs of a group, taps]; None where they are no rows of one axis."""
        if self.dequantised is None or self.axis is None or self.unit_axis is None:
            return None
        return self.dequantised()

    @cached_property
    def offsets(self) -> npt.NDArray[np.float64]:
        """What is added to each unit's sum; NaN where it is computed, or counted in other units."""
        assert self.rows is not None  # callers ask for the rows first
        length = len(self.rows)
        found = self.added(length)
        if found is None or found.size not in (1, length):
            return np.full(length, np.nan)
        return np.broadcast_to(np.asarray(found, np.float64).reshape(-1), (length,))
