"""Spreads that merge exactly, in any order: sums are whole numbers of the smallest step of a double, or of its square.

Rounded sums of floating-point numbers depend on their order, so parts that are merged in another order would differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, sqrt

import numpy as np

from analyzer.facts.statistics import Floats, Ints
from analyzer.observe.suspects import Shown

_BITS = 1074  # the smallest step of a double is 2**-1074
Sums = tuple[int | None, ...]  # None: not finite


@dataclass(frozen=True, eq=False)
class ExactSpread:
    """What feeds showed of units: extremes, how many entries, their sum in 2**-1074 and that of squares in 2**-2148."""

    maximum: Floats
    minimum: Floats
    count: Ints
    sums: Sums
    squares: Sums

    @classmethod
    def empty(cls, units: int) -> ExactSpread:
        """The neutral element."""
        extremes, nothing = np.full((2, units), np.inf), (0,) * units
        return cls(-extremes[0], extremes[1], np.zeros(units, np.int64), nothing, nothing)

    @classmethod
    def of(cls, shown: Shown) -> ExactSpread:
        """What one feed shows."""
        each = zip(shown.count, shown.mean, shown.off, shown.squares, strict=True)
        sums, squares = zip(*(_sums(int(n), float(m), float(o), float(s)) for n, m, o, s in each), strict=True)
        return cls(shown.maximum, shown.minimum, shown.count.astype(np.int64), sums, squares)

    def merge(self, other: ExactSpread) -> ExactSpread:
        """Both together."""
        return ExactSpread(
            np.maximum(self.maximum, other.maximum),
            np.minimum(self.minimum, other.minimum),
            self.count + other.count,
            _added(self.sums, other.sums),
            _added(self.squares, other.squares),
        )

    @property
    def numbers(self) -> Floats:
        """Maxima, minima, means and deviations, as `Measuring.spreads` takes them."""
        moments = [_moments(int(n), a, b) for n, a, b in zip(self.count, self.sums, self.squares, strict=True)]
        return np.stack([self.maximum, self.minimum, *np.array(moments, np.float64).reshape(-1, 2).T])


def _sums(count: int, mean: float, off: float, squares: float) -> tuple[int | None, int | None]:
    """The sum of `count` numbers and that of their squares; `squares` is that of their distances to the mean."""
    if not (isfinite(mean) and isfinite(off) and isfinite(squares)):
        return None, None
    m, o = _whole(mean, _BITS), _whole(off, _BITS)
    return count * (m + o), _whole(squares, 2 * _BITS) + count * m * (m + 2 * o)


def _whole(number: float, bits: int) -> int:
    """The number in steps of 2**-bits."""
    numerator, denominator = number.as_integer_ratio()
    return (numerator << bits) // denominator


def _added(some: Sums, others: Sums) -> Sums:
    return tuple(None if a is None or b is None else a + b for a, b in zip(some, others, strict=True))


def _moments(count: int, total: int | None, squares: int | None) -> tuple[float, float]:
    """Mean and deviation."""
    if not count or total is None or squares is None:
        return np.nan, np.nan
    variance = Fraction(squares, count) - Fraction(total, count) ** 2
    try:
        return float(Fraction(total, count << _BITS)), sqrt(max(Fraction(0), variance / (1 << 2 * _BITS)))
    except OverflowError:
        return np.nan, np.nan


def as_text(sums: Sums) -> tuple[str | None, ...]:
    """For a file."""
    return tuple(None if number is None else f"{number:x}" for number in sums)


def from_text(texts: Sequence[str | None]) -> Sums:
    """What `as_text` made the text of.

    Raises:
        ValueError: it is none of that kind.
    """
    return tuple(None if text is None else int(text, 16) for text in texts)
