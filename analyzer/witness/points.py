"""Inputs of a domain, drawn by a seed: corners, even draws, mixes of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box, Domain
from analyzer.facts.proof import Method

Points = dict[str, Array]  # by input [points, …], each a whole feed
CHUNK = 1 << 25  # bytes of points that are made at a time
LONG = 8  # an axis that is longer may be one of positions, and neighbours alike
REACH = 2.0  # how far beyond a sample its distance to another one is carried on, at most


def count_of(points: Mapping[str, Array]) -> int:
    """How many points there are."""
    return len(next(iter(points.values()))) if points else 0


def taken(points: Mapping[str, Array], chosen: Array | slice) -> Points:
    """Some of the points."""
    return {name: array[chosen] for name, array in points.items()}


def joined(parts: Sequence[Mapping[str, Array]]) -> Points:
    """All points of several."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


@dataclass(frozen=True)
class Sampler:
    """Draws points of a domain; the same seed draws the same ones."""

    domain: Domain
    random: np.random.Generator

    @property
    def bytes(self) -> int:
        """What one point takes."""
        return sum(bounds.low.nbytes for bounds in self.domain.boxes[0].values())

    @property
    def most(self) -> int:
        """How many points may be made at a time."""
        return max(CHUNK // max(self.bytes, 1), 1)

    def cheap(self, numbers: Mapping[Method, int], samples: Points) -> Iterator[tuple[Method, Points]]:
        """So many points of each kind, in pieces."""
        for method, number in numbers.items():
            for start in range(0, number, self.most):
                piece = min(self.most, number - start)
                if method is Method.MIXES:
                    if count_of(samples):
                        yield method, self.mixes(samples, piece)
                else:
                    yield method, self.corners(piece) if method is Method.CORNERS else self.uniform(piece)

    def corners(self, number: int) -> Points:
        """Every element at one of its ends; each point draws how often that is the upper one, and how coarse it is."""
        share, boxes, coarse = self.random.random(number), self._boxes(number), self._coarse(number)

        def corner(bounds: Box, point: int) -> Array:
            return np.where(self._alike(bounds.low.shape, coarse[point]) < share[point], bounds.high, bounds.low)

        return self._points(boxes, corner)

    def uniform(self, number: int) -> Points:
        """Every element drawn evenly between its ends; each point draws how coarse it is."""
        coarse = self._coarse(number)
        return self._points(self._boxes(number), lambda bounds, point: self._between(bounds, coarse[point]))

    def mixes(self, samples: Points, number: int) -> Points:
        """A sample, and the way from another one to it carried on, kept within the domain."""
        first, second = (self.random.integers(count_of(samples), size=number) for _ in range(2))
        reach = self.random.random(number) * REACH
        parts = []
        for one, other, far in zip(first, second, reach, strict=True):
            sample, away = ({name: array[i] for name, array in samples.items()} for i in (one, other))
            box = next((b for b in self.domain.boxes if _holds(b, sample)), self.domain.boxes[0])
            parts.append({name: self._mixed(bounds, sample[name], away[name], far)[np.newaxis]
                          for name, bounds in box.items()})  # fmt: skip
        return joined(parts)

    def stirred(self, points: Points, boxes: Sequence[int], share: float) -> Points:
        """The points with a share of their elements at an end of their bounds."""
        result = {name: array.copy() for name, array in points.items()}
        for point, box in enumerate(boxes):
            for name, bounds in self.domain.boxes[box].items():
                where = self.random.random(bounds.low.shape) < share
                ends = np.where(self.random.random(bounds.low.shape) < 0.5, bounds.low, bounds.high)
                result[name][point] = np.where(where, ends, result[name][point])
        return result

    def redrawn(self, points: Points, boxes: Sequence[int], share: float) -> Points:
        """The points with a share of their elements, one at least of some, drawn evenly between their ends."""
        result = {name: array.copy() for name, array in points.items()}
        for point, box in enumerate(boxes):
            for name, bounds in self.domain.boxes[box].items():
                where = self.random.random(bounds.low.shape) < max(share, 1 / max(bounds.low.size, 1))
                result[name][point] = np.where(where, self._between(bounds), result[name][point])
        return result

    def box_of(self, point: Mapping[str, Array]) -> int:
        """The first box that holds a point; the first of all where none does."""
        return next((i for i, box in enumerate(self.domain.boxes) if _holds(box, point)), 0)

    def _boxes(self, number: int) -> list[Mapping[str, Box]]:
        chosen = self.random.integers(len(self.domain.boxes), size=number)
        return [self.domain.boxes[i] for i in chosen]

    def _points(self, boxes: Sequence[Mapping[str, Box]], draw: Callable[[Box, int], Array]) -> Points:
        names = self.domain.boxes[0]
        return {name: np.stack([draw(box[name], point) for point, box in enumerate(boxes)]) for name in names}

    def _coarse(self, number: int) -> list[int]:
        """How many neighbours are alike: 1 for every other point, else a power of 2 up to the longest axis."""
        longest = max((max(bounds.low.shape, default=1) for bounds in self.domain.boxes[0].values()), default=1)
        levels = self.random.integers(longest.bit_length() + 1, size=number)
        return [2 ** int(level) if point % 2 else 1 for point, level in enumerate(levels)]

    def _alike(self, shape: tuple[int, ...], coarse: int) -> Array:
        """Numbers from 0 to 1, so many neighbours along long axes alike."""
        steps = [coarse if length > LONG else 1 for length in shape]
        drawn = self.random.random([-(-length // step) for length, step in zip(shape, steps, strict=True)])
        for axis, (length, step) in enumerate(zip(shape, steps, strict=True)):
            drawn = np.repeat(drawn, step, axis).take(range(length), axis) if step > 1 else drawn
        return drawn

    def _between(self, bounds: Box, coarse: int = 1) -> Array:
        low, high, dtype = bounds.low, bounds.high, bounds.low.dtype
        if dtype.kind in "iub":
            width = high.astype(np.float64) - low + 1
            drawn = low + np.floor(self._alike(low.shape, coarse) * width)
            return np.asarray(np.clip(drawn, low, high).astype(dtype))
        wide = low.astype(np.float64), high.astype(np.float64)
        return kept_within(wide[0] + self._alike(low.shape, coarse) * (wide[1] - wide[0]), bounds)

    def _mixed(self, bounds: Box, sample: Array, other: Array, reach: float) -> Array:
        if bounds.low.dtype.kind in "iub":  # tokens: some of one, some of the other
            return np.where(self.random.random(sample.shape) < reach / REACH, sample, other)
        wide = sample.astype(np.float64)
        return kept_within(wide + (wide - other) * reach, bounds)


def kept_within(numbers: Array, bounds: Box) -> Array:
    """The nearest numbers of the input's type within its bounds."""
    clipped = np.clip(np.nan_to_num(numbers), bounds.low, bounds.high).astype(bounds.low.dtype)
    return np.asarray(np.clip(clipped, bounds.low, bounds.high))


def _holds(box: Mapping[str, Box], point: Mapping[str, Array]) -> bool:
    return all(((point[n] >= b.low) & (point[n] <= b.high)).all() for n, b in box.items())
