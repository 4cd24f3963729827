"""What the data shows of itself, gathered feed by feed: what is not finite, never varies, or is there twice."""

from __future__ import annotations

import math
from array import array as packed
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.probe_condition import FeatureAxis, InputCondition
from analyzer.facts.sample_ranges import Ranges, number_in
from analyzer.probes.element_types import family

MOST_COMPARED = (
    1 << 20
)  # samples whose hashes are kept, 8 bytes each; two in 2**20 agree by chance once in 2**25 probes
LOW = (1 << 64) - 1  # the half of a hash that is kept
FEW = 0.25  # up to this share of a sample's entries, picking them out is cheaper than comparing them all

Ints = np.ndarray[Any, np.dtype[np.int64]]


class DataWatch:
    """What samples show of themselves; memory for one sample of each input and the hashes of all.

    Two watches of parts of the same data are one of both once merged, in any order: the sample that others are held
    against is the first of the data, wherever a part begins.
    """

    def __init__(self) -> None:
        self.samples = self.nonfinite = 0
        self.hashes = packed("Q")
        self.inputs: dict[str, InputWatch] = {}
        self._firsts: dict[str, Array] = {}  # what others are held against
        self.fixed: dict[str, int] = {}  # inputs that are fed unchanged and not finite

    def begin(self, per_sample: Mapping[str, Array]) -> None:
        """Take the first sample of the data as what others are held against; it counts when it comes itself."""
        for name, array in per_sample.items():
            self._firsts.setdefault(name, array[:1].copy())
            self.inputs.setdefault(name, InputWatch(family(array.dtype) == "float", array.shape[1:]))

    def update(
        self, per_sample: Mapping[str, Array], fixed: Mapping[str, Array], hashes: Sequence[int], start: int
    ) -> None:
        """Add a feed: `per_sample` arrays hold samples along axis 0, `fixed` ones belong to all of them.

        The first is number `start` of the data; `hashes` are those of `sample_hashes`.
        """
        self.begin(per_sample)
        samples = len(hashes)
        broken: Array | None = None
        for name, array in per_sample.items():
            rows = self.inputs[name].add(array, self._firsts[name])
            if rows is not None:
                broken = rows if broken is None else broken | rows
        for name, array in fixed.items():
            if family(array.dtype) == "float" and not np.isfinite(array).all():
                self.fixed[name] = self.fixed.get(name, 0) + samples
                broken = np.ones(samples, np.bool_)
        if broken is not None:
            self.nonfinite += int(broken.sum())
        self.hashes.extend(number & LOW for number in hashes[: max(MOST_COMPARED - start, 0)])
        self.samples += samples

    def merge(self, other: DataWatch) -> None:
        """Add what other samples of the same data showed."""
        self.samples += other.samples
        self.nonfinite += other.nonfinite
        self.hashes += other.hashes
        for name, count in other.fixed.items():
            self.fixed[name] = self.fixed.get(name, 0) + count
        for name, watched in other.inputs.items():
            self.inputs.setdefault(name, InputWatch(watched.floats, watched.shape)).merge(watched)

    @staticmethod
    def most_compared(ranges: Ranges) -> int:
        """How many hashes are kept of the samples in these ranges."""
        return number_in((start, min(stop, MOST_COMPARED)) for start, stop in ranges if start < MOST_COMPARED)

    @property
    def compared(self) -> int:
        """How many samples were held against each other."""
        return len(self.hashes)

    @property
    def distinct(self) -> int:
        """How many of these differ from each other."""
        return int(np.unique(np.frombuffer(self.hashes, np.uint64)).size) if self.hashes else 0

    def conditions(self, axes: Mapping[str, FeatureAxis]) -> tuple[InputCondition, ...]:
        """What each input showed; `axes` says where its features lie."""
        varying = (watched.condition(name, axes.get(name)) for name, watched in self.inputs.items())
        fixed = (
            InputCondition(name, True, samples, empty=False, constant=False) for name, samples in self.fixed.items()
        )
        return (*varying, *fixed)


class InputWatch:
    """The data of one input, whose first sample has this shape; `floats`: of floating point."""

    def __init__(self, floats: bool, shape: tuple[int, ...]) -> None:
        self.floats, self.shape = floats, shape
        self.still: Ints = np.arange(math.prod(shape))  # entries that never varied; none where shapes differ
        self.nonfinite, self.finite = 0, False  # samples that hold such numbers; whether some number is finite

    def add(self, array: Array, first: Array) -> Array | None:
        """Take samples into account; returns which of them hold something that is not finite, None if none does."""
        self._compare(array, first)
        if not self.floats or _surely_finite(array):
            self.finite = self.finite or bool(array.size)
            return None
        finite = np.isfinite(array).reshape(len(array), -1)
        broken = np.asarray(~finite.all(axis=1))
        self.nonfinite += int(broken.sum())
        self.finite = self.finite or bool(finite.any())
        return broken

    def merge(self, other: InputWatch) -> None:
        """Add what other samples showed, which were held against the same one."""
        self.nonfinite += other.nonfinite
        self.finite = self.finite or other.finite
        self.still = np.intersect1d(self.still, other.still, assume_unique=True)

    def condition(self, name: str, features: FeatureAxis | None) -> InputCondition:
        """What it showed; rows lack the input's sample axis, unless each holds a whole input."""
        shape, still = self.shape, np.zeros(math.prod(self.shape), np.bool_)
        still[self.still] = True
        place = -1 if features is None else features.axis - (features.rank - len(shape))
        quiet: tuple[int, ...] = ()
        if 0 <= place < len(shape):
            others = tuple(axis for axis in range(len(shape)) if axis != place)
            quiet = tuple(np.flatnonzero(still.reshape(shape).all(axis=others)).tolist())
        return InputCondition(
            name,
            self.floats,
            self.nonfinite,
            empty=bool(still.size) and not self.finite,
            constant=bool(still.size) and bool(still.all()),
            features=shape[place] if 0 <= place < len(shape) else 0,
            still=quiet,
            layered=len(shape) > 1,
        )

    def _compare(self, array: Array, first: Array) -> None:
        if not self.still.size:
            return
        if array.shape[1:] != self.shape:
            self.still = self.still[:0]
            return
        rows, first = array.reshape(len(array), -1), first.reshape(-1)
        if len(self.still) < FEW * first.size:
            rows, first = rows[:, self.still], first[self.still]
            self.still = self.still[(rows == first).all(axis=0)]
        else:
            same = (rows == first).all(axis=0)
            self.still = self.still[same[self.still]]


def _surely_finite(array: Array) -> bool:
    """Whether all is finite, as the sum of squares is; large numbers may let it overflow."""
    if array.dtype not in (np.float32, np.float64):
        return False
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.dot(flat, flat))
