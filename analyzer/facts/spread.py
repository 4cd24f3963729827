"""Where the entries of a value lie, per index of one axis: what is measured of pre-activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.facts.statistics import Bools, Floats


@dataclass(frozen=True, slots=True)
class Watched:
    """A value to be measured along one axis of this length."""

    value: str
    axis: int
    length: int
    rank: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Extremes, mean and standard deviation over all samples and positions; arrays of shape [length].

    Entries are NaN or infinite where the value was.
    """

    maximum: Floats
    minimum: Floats
    mean: Floats
    deviation: Floats

    @property
    def varies(self) -> Bools:
        """Where the entries are not all the same, beyond rounding."""
        size = np.maximum(np.abs(self.maximum), np.abs(self.minimum))
        with np.errstate(invalid="ignore"):
            return np.asarray(self.maximum - self.minimum > 1e-6 * size)
