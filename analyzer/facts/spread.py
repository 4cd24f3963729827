"""Where the entries of a value lie, per index of one axis: what is measured of pre-activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analyzer.facts.statistics import Bools, Floats


@dataclass(frozen=True, slots=True)
class Watched:
    """A value to be measured along one axis of this length; `chosen`: only these indices of it (None: all)."""

    value: str
    axis: int
    length: int
    rank: int
    chosen: tuple[int, ...] | None = None

    @property
    def width(self) -> int:
        """How many indices are wanted."""
        return self.length if self.chosen is None else len(self.chosen)

    def joined(self, other: Watched) -> Watched:
        """The same value, measured for all that either wants."""
        if self.chosen is None or other.chosen is None:
            return replace(self, chosen=None)
        return replace(self, chosen=tuple(sorted({*self.chosen, *other.chosen})))


@dataclass(frozen=True, slots=True)
class Spread:
    """Extremes, mean and standard deviation over all samples and positions; arrays of shape [length].

    Entries are NaN where they were not asked for, and NaN or infinite where the value was. `axis` is the one that the
    indices lie along (None: that of the only one who asks).
    """

    maximum: Floats
    minimum: Floats
    mean: Floats
    deviation: Floats
    axis: int | None = None

    @property
    def varies(self) -> Bools:
        """Where the entries are not all the same, beyond rounding."""
        size = np.maximum(np.abs(self.maximum), np.abs(self.minimum))
        with np.errstate(invalid="ignore"):
            apart = self.maximum - self.minimum > 1e-6 * size
            return np.asarray(apart | (np.isinf(size) & (self.maximum != self.minimum)))


def along(spreads: Mapping[str, Spread], value: str | None, axis: int) -> Spread | None:
    """What was measured of a value, if it was along this axis."""
    spread = None if value is None else spreads.get(value)
    return spread if spread is not None and spread.axis in (None, axis) else None
