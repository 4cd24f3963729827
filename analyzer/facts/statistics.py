"""Per-unit statistics of one audited value: a commutative monoid, so batches, sessions and shards merge."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.facts.frozen import read_only

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Extremes = npt.NDArray[Any]  # of int64 for values of this type, which doubles cannot hold; else of doubles
Bools = npt.NDArray[np.bool_]


def extreme_type(dtype: str) -> np.dtype[Any]:
    """In which type the extremes of a value of this element type are kept."""
    return np.dtype(np.int64 if dtype == "int64" else np.float64)


def smallest(dtype: str) -> float:
    """Below every value of this element type, or the least of them: the maximum of nothing."""
    return int(np.iinfo(np.int64).min) if dtype == "int64" else -np.inf


def largest(dtype: str) -> float:
    """Above every value of this element type, or the greatest of them: the minimum of nothing."""
    return int(np.iinfo(np.int64).max) if dtype == "int64" else np.inf


@dataclass(frozen=True, slots=True)
class UnitStatistics:
    """What was seen of each unit; every array has shape [units].

    | array | holds | for |
    |---|---|---|
    | fired | samples on which some position lay above the low flat region, or 0 | all but linear: there every sample |
    | minimum, maximum | extremes over all samples and positions that were *looked at* | all |
    | minimum_exact | whether every sample was looked at; see below | all |
    | low_samples, high_samples | samples on which *all* positions lie in the low, high flat region | saturating |
    | flat_samples | samples looked at for these two | saturating |
    | nonfinite | samples with a NaN or an infinity at some position | all |
    | positions, zeros, absolute_sum | positions counted, exact zeros, sum of magnitudes | all where asked for, else 0 |

    `samples` is the number of samples seen. Where `minimum_exact` is false, `minimum` is an upper bound of the true
    minimum that already shows the unit is neither constant nor always on (and for linear values, which are looked at
    only until all their units were seen to vary, `maximum` is a lower bound in the same way). Samples with a NaN or an
    infinity count in `samples`, never as fired, and their finite extremes are not used (an infinity in a linear value
    is counted only while the value is looked at).
    """

    samples: int
    fired: Ints
    minimum: Extremes
    maximum: Extremes
    minimum_exact: Bools
    low_samples: Ints
    high_samples: Ints
    flat_samples: Ints
    nonfinite: Ints
    positions: Ints
    zeros: Ints
    absolute_sum: Floats

    def __post_init__(self) -> None:
        """Arrays are read-only from here on."""
        for field in fields(self):
            if field.name != "samples":
                object.__setattr__(self, field.name, read_only(getattr(self, field.name)))

    @classmethod
    def empty(cls, units: int, dtype: str = "float32") -> UnitStatistics:
        """The neutral element, for values of this element type."""
        zeros = np.zeros(units, np.int64)
        return cls(
            samples=0,
            fired=zeros,
            minimum=np.full(units, largest(dtype), extreme_type(dtype)),
            maximum=np.full(units, smallest(dtype), extreme_type(dtype)),
            minimum_exact=np.ones(units, np.bool_),
            low_samples=zeros,
            high_samples=zeros,
            flat_samples=zeros,
            nonfinite=zeros,
            positions=zeros,
            zeros=zeros,
            absolute_sum=np.zeros(units),
        )

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.fired)

    def merge(self, other: UnitStatistics) -> UnitStatistics:
        """Statistics of both sets of samples together."""
        merged = {
            field.name: _MERGES.get(field.name, np.add)(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
            if field.name != "samples"
        }
        return UnitStatistics(self.samples + other.samples, **merged)

    def contradicted_by(self, other: UnitStatistics) -> UnitStatistics:
        """The same counts of the same samples, with the extremes that further samples showed, and what was not finite.

        For samples that may be among these: what counts would be counted twice.
        """
        both = self.merge(other)
        return replace(
            self,
            minimum=both.minimum,
            maximum=both.maximum,
            minimum_exact=both.minimum_exact,
            nonfinite=np.maximum(self.nonfinite, other.nonfinite),
        )


_MERGES = {"minimum": np.minimum, "maximum": np.maximum, "minimum_exact": np.logical_and}  # all others are counts
