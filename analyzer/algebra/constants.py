"""Which elements of a value are constant, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Array, Mask

LARGE = 1 << 20  # elements of a mask that is not kept


@dataclass(frozen=True, slots=True)
class Multiples:
    """Elements that are `factor` times one and the same unknown map, named by `profile` (design, section 5)."""

    profile: str
    held: Mask
    factor: Array


@dataclass(frozen=True)
class Constants:
    """`known` and `value` are patterns of the value; `value` means nothing where `known` is False."""

    known: Mask
    value: Array
    multiples: Multiples | None = None

    @classmethod
    def unknown(cls, rank: int) -> Constants:
        """Nothing is known: the safe answer."""
        return _unknown(rank)

    @classmethod
    def exactly(cls, array: Array) -> Constants:
        """Every element is known."""
        return cls(pattern.uniform(array.ndim, True), array)

    @property
    def rank(self) -> int:
        """Rank of the value."""
        return self.known.ndim

    @property
    def any(self) -> bool:
        """Whether some element is known."""
        return bool(np.count_nonzero(self.known))  # of a few elements many times as fast as any()

    @property
    def all(self) -> bool:
        """Whether every element is known."""
        return bool(np.count_nonzero(self.known) == self.known.size)

    @property
    def zero(self) -> Mask:
        """Elements known to be zero; kept, but of large masks only the last one: there may be one for every weight."""
        kept = self._zero or [mask for whose, mask in _last_large if whose is self]
        if kept:
            return kept[0]
        mask = np.asarray(self.value == 0)
        mask = mask if self.all else self.known & mask
        mask = pattern.compress(mask) if mask.any() else pattern.uniform(mask.ndim, False)
        if mask.size < LARGE:
            self._zero.append(mask)
        else:
            _last_large[:] = [(self, mask)]
        return mask

    @cached_property
    def _zero(self) -> list[Mask]:
        return []

    @property
    def number(self) -> Array:
        """Values in double precision, 0 where unknown, so that arithmetic on them never warns."""
        return _double(self.value) if self.all else np.where(self.known, _double(self.value), 0.0)

    def per_index(self, axis: int, length: int) -> tuple[Mask, Array]:
        """Per index of `axis`: whether the whole slice is one constant, and that constant (0 where not)."""
        if (axis, length) not in self._slices:
            known, value = self._per_index(axis, length)
            known.setflags(write=False)  # every caller gets the same arrays
            value.setflags(write=False)
            self._slices[axis, length] = known, value
        return self._slices[axis, length]

    @cached_property
    def _slices(self) -> dict[tuple[int, int], tuple[Mask, Array]]:
        return {}

    def _per_index(self, axis: int, length: int) -> tuple[Mask, Array]:
        known = pattern.per_index(self.known, axis, length, every=True)
        others = tuple(a for a in range(self.rank) if a != axis)
        number = self.value if self.all else self.number
        low, high = _double(number.min(axis=others)), _double(number.max(axis=others))
        known = known & np.broadcast_to(low == high, (length,))
        return known, np.where(known, np.broadcast_to(low, (length,)), 0.0)

    def even(self, axis: int) -> tuple[Mask, Array]:
        """Elements that are one constant all along an axis, which has length 1 then, and what that is."""
        number = self.value if self.all else self.number  # not made double as a whole
        low, high = (_double(end(axis=axis, keepdims=True)) for end in (number.min, number.max))
        return np.asarray(pattern.every(self.known, axis, keepdims=True) & (low == high)), low

    def taken(self, letters: Sequence[int], indices: Mapping[int, Array]) -> Constants:
        """What is known of some indices along axes that are called by letters."""
        known, value = self.known, self.value
        for axis, letter in enumerate(letters):
            if letter in indices:
                known, value = (pattern.take(array, axis, indices[letter]) for array in (known, value))
        return Constants(known, value)

    def with_seed(self, axis: int, units: Array, values: Array, length: int) -> Constants:
        """Also known: the whole slices `units` along `axis`, with one value each.

        What was seen comes before what was calculated: a normalisation of a constant map makes much of its last digits.
        """
        known_here, value_here = np.zeros(length, np.bool_), np.zeros(length)
        known_here[units], value_here[units] = True, values
        extra, number = (pattern.on_axis(v, axis, self.rank) for v in (known_here, value_here))
        return Constants(self.known | extra, np.where(extra, number, self.number), self.multiples)


_last_large: list[tuple[Constants, Mask]] = []


@cache
def _unknown(rank: int) -> Constants:
    value = np.zeros((1,) * rank)
    value.setflags(write=False)  # every caller gets the same arrays
    return Constants(pattern.uniform(rank, False), value)


def _double(array: Array) -> Array:
    return array if array.dtype == np.float64 else np.asarray(array, dtype=np.float64)


def merged(known: Mask, value: Any) -> Constants:
    """Constants with both patterns made as small as they can be."""
    known = pattern.compress(np.asarray(known))
    return Constants(known, pattern.compress(np.asarray(value)))
