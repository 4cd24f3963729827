"""What the data shows of itself, gathered feed by feed: what is not finite, never varies, or is there twice."""

from __future__ import annotations

import math
from array import array as packed
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash

from analyzer.algebra.pattern import Array
from analyzer.facts.probe_condition import FeatureAxis, InputCondition
from analyzer.probes.element_types import family
from analyzer.probes.fingerprint import bytes_of

MOST_COMPARED = (
    1 << 20
)  # samples whose hashes are kept, 8 bytes each; two in 2**20 agree by chance once in 2**25 probes
FEW = 0.25  # up to this share of a sample's entries, picking them out is cheaper than comparing them all

Ints = np.ndarray[Any, np.dtype[np.int64]]


class DataWatch:
    """One pass over the samples of a probe; memory for one sample of each input and the hashes of all."""

    def __init__(self) -> None:
        self.samples = self.nonfinite = 0
        self._hashes = packed("Q")
        self._inputs: dict[str, _Watched] = {}
        self._fixed: dict[str, int] = {}  # inputs that are fed unchanged and not finite

    def update(self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], samples: int) -> None:
        """Add a feed: `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them."""
        broken: Array | None = None
        for name, array in per_sample.items():
            if name not in self._inputs:
                self._inputs[name] = _Watched(array)
            rows = self._inputs[name].add(array)
            if rows is not None:
                broken = rows if broken is None else broken | rows
        for name, array in fixed.items():
            if family(array.dtype) == "float" and not np.isfinite(array).all():
                self._fixed[name] = self._fixed.get(name, 0) + samples
                broken = np.ones(samples, np.bool_)
        if broken is not None:
            self.nonfinite += int(broken.sum())
        if self.samples < MOST_COMPARED:
            self._hashes.extend(_hashes(list(per_sample.values()), min(samples, MOST_COMPARED - self.samples)))
        self.samples += samples

    @property
    def compared(self) -> int:
        """How many samples were held against each other."""
        return min(self.samples, MOST_COMPARED)

    @property
    def distinct(self) -> int:
        """How many of these differ from each other."""
        return int(np.unique(np.frombuffer(self._hashes, np.uint64)).size) if self._hashes else 0

    def inputs(self, axes: Mapping[str, FeatureAxis]) -> tuple[InputCondition, ...]:
        """What each input showed; `axes` says where its features lie."""
        varying = (watched.condition(name, axes.get(name)) for name, watched in self._inputs.items())
        fixed = (
            InputCondition(name, True, samples, empty=False, constant=False) for name, samples in self._fixed.items()
        )
        return (*varying, *fixed)


class _Watched:
    """The data of one input."""

    def __init__(self, array: Array) -> None:
        self._first = array[:1].copy()
        self._floats = family(array.dtype) == "float"
        self._still: Ints | None = np.arange(self._first.size)  # entries that never varied; None: shapes differ
        self._nonfinite, self._finite = 0, False

    def add(self, array: Array) -> Array | None:
        """Take samples into account; returns which of them hold something that is not finite, None if none does."""
        self._compare(array)
        if not self._floats or _surely_finite(array):
            self._finite = self._finite or bool(array.size)
            return None
        finite = np.isfinite(array).reshape(len(array), -1)
        broken = np.asarray(~finite.all(axis=1))
        self._nonfinite += int(broken.sum())
        self._finite = self._finite or bool(finite.any())
        return broken

    def condition(self, name: str, features: FeatureAxis | None) -> InputCondition:
        """What it showed; rows lack the input's sample axis, unless each holds a whole input."""
        shape, still = self._first.shape[1:], np.zeros(self._first.size, np.bool_)
        if self._still is not None:
            still[self._still] = True
        place = -1 if features is None else features.axis - (features.rank - len(shape))
        quiet: tuple[int, ...] = ()
        if 0 <= place < len(shape):
            others = tuple(axis for axis in range(len(shape)) if axis != place)
            quiet = tuple(np.flatnonzero(still.reshape(shape).all(axis=others)).tolist())
        return InputCondition(
            name,
            self._floats,
            self._nonfinite,
            empty=bool(still.size) and not self._finite,
            constant=bool(still.size) and bool(still.all()),
            features=shape[place] if 0 <= place < len(shape) else 0,
            still=quiet,
            layered=len(shape) > 1,
        )

    def _compare(self, array: Array) -> None:
        if self._still is None or not self._still.size:
            return
        if array.shape[1:] != self._first.shape[1:]:
            self._still = None
            return
        rows, first = array.reshape(len(array), -1), self._first.reshape(-1)
        if len(self._still) < FEW * first.size:
            rows, first = rows[:, self._still], first[self._still]
            self._still = self._still[(rows == first).all(axis=0)]
        else:
            same = (rows == first).all(axis=0)
            self._still = self._still[same[self._still]]


def _surely_finite(array: Array) -> bool:
    """Whether all is finite, as the sum of squares is; large numbers may let it overflow."""
    if array.dtype not in (np.float32, np.float64):
        return False
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.dot(flat, flat))


def _hashes(arrays: Sequence[Array], samples: int) -> list[int]:
    """A number of 64 bits for each of the first samples."""
    if len(arrays) == 1 and family(arrays[0].dtype) != "object":
        rows = np.ascontiguousarray(arrays[0]).reshape(len(arrays[0]), -1).view(np.uint8)
        return [xxhash.xxh3_64_intdigest(row) for row in rows[:samples]]
    numbers = []
    for sample in range(samples):
        number = 0
        for array in arrays:
            number = xxhash.xxh3_64_intdigest(bytes_of(array[sample : sample + 1]), seed=number)
        numbers.append(number)
    return numbers
