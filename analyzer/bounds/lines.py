"""Straight lines above and below a function of one number, between two ends: as near to it in the middle as any are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.ops.pull_back import Window
from analyzer.ops.trend import STRAIGHT, Curvature

_OFF = 2.0**-48  # of our own arithmetic, in double precision: a share of the magnitudes that are added
_PIECES = 16  # of which a curve is taken to be made
_NEARER = 1e-9  # share by which lines are as near
_TOGETHER = 1 << 14  # elements that are looked at together


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A function that is straight between places, but for so much (`away`): between two ends, element by element."""

    places: Sequence[Array]  # in rising order
    values: Sequence[Array]
    away: Sequence[Array]  # one less

    def shift(self, slope: Array, side: int) -> Array:
        """With which the line of a slope lies on one side (1: above) of the function, and touches its pieces.

        For any slope s the largest of f(x) - s x lies at a place, but for so much; so a slope may be rounded.
        """
        ends = [side * (f - slope * p) + _OFF * (np.abs(f) + np.abs(slope * p))
                for f, p in zip(self.values, self.places, strict=True)]  # fmt: skip
        highest = [np.maximum(a, b) + away for away, (a, b) in zip(self.away, pairwise(ends), strict=True)]
        return np.asarray(side * np.maximum.reduce(highest))

    def touched(self, slope: Array, side: int) -> Array:
        """Where that line touches."""
        heights = np.stack(np.broadcast_arrays(*(side * (f - slope * p)
                                                 for f, p in zip(self.values, self.places, strict=True))))  # fmt: skip
        places = np.stack(np.broadcast_arrays(*self.places))
        return np.asarray(np.take_along_axis(places, np.argmax(heights, axis=0)[np.newaxis], 0)[0])

    def steepness(self, piece: int) -> Array:
        """The slope of a piece."""
        places, values = (side[piece : piece + 2] for side in (self.places, self.values))
        return _slope(*places, *values)

    def nearest(self, side: int) -> tuple[Array, Array]:
        """Slope and shift of the line on one side that is nearest in the middle: it touches two places around it."""
        shape, count = self.places[0].shape, len(self.places)
        pairs = sorted(combinations(range(count), 2), key=lambda pair: pair[1] - pair[0])
        left, right = ([pair[end] for pair in pairs] for end in range(2))
        places, values = (
            np.stack(np.broadcast_arrays(*part)).reshape(count, -1) for part in (self.places, self.values)
        )
        slope = np.empty(places.shape[1])
        for start in range(0, len(slope), _TOGETHER):
            p, f = (part[:, start : start + _TOGETHER] for part in (places, values))
            middle, chords = (p[0] + p[-1]) / 2, _slope(p[left], p[right], f[left], f[right])
            heights = side * (f[left] + chords * (middle - p[left]))
            heights = np.where((p[left] <= middle) & (middle <= p[right]), heights, -np.inf)
            highest = heights.max(axis=0)
            # neighbours first: where the function itself is met, its own slope is taken
            first = np.argmax(heights >= highest - _NEARER * np.abs(highest), axis=0)
            slope[start : start + _TOGETHER] = np.take_along_axis(chords, first[np.newaxis], 0)[0]
        return slope.reshape(shape), self.shift(slope.reshape(shape), side)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """`low * x + low_shift <= f(x) <= high * x + high_shift` between two ends; slopes are in single precision.

    Of the largest of several elements slopes have those along their second axis, channel by channel. `pieces`: of a
    function of one element, what it is made of.
    """

    low: Array
    high: Array
    low_shift: Array
    high_shift: Array
    pieces: Pieces | None = None


def pieces_of(
    function: Callable[[Array], Array],
    low: Array,
    high: Array,
    bends: Sequence[float | Array],
    curve: Curvature = STRAIGHT,
) -> Pieces:
    """A function that is straight, or curved no more than this, between the places where it bends."""
    ends = np.asarray(low, np.float64), np.asarray(high, np.float64)
    places = [ends[0], *(np.clip(bend, *ends) for bend in bends), ends[1]]
    if curve.most:
        first, last = (np.clip(end, -curve.reach, curve.reach) for end in ends)
        places += [first + (last - first) * (piece / _PIECES) for piece in range(_PIECES + 1)]
    if len(places) > 3:
        places = [*np.sort(np.clip(np.stack(np.broadcast_arrays(*places)), *ends), axis=0)]
    values = [np.asarray(function(place)) for place in places]
    return Pieces(places, values, [curve.away(a, b) for a, b in pairwise(places)])


def lines_around(pieces: Pieces) -> Lines:
    """The nearest lines."""
    with np.errstate(over="ignore", invalid="ignore"):
        high, high_shift = pieces.nearest(1)
        low, low_shift = pieces.nearest(-1)
    return Lines(low.astype(np.float32), high.astype(np.float32), low_shift, high_shift, pieces)


def lines_of_largest(window: Window, low: Array, high: Array, shape: Shape) -> Lines:
    """Around the largest of each window of elements between these bounds; `shape` is that of what comes out.

    It is not below the element that is largest in the middle, and not above the line that lies over the larger of two:
    the element that may be largest of all, and the second largest of what elements may be.
    """
    taps = np.stack([seen_by(window, end, shape) for end in (low, high)]).astype(
        np.float64
    )  # [2, n, channels, taps, …]
    lows, highs = taps
    first = np.argmax(highs, axis=2)[:, :, np.newaxis]
    others = highs.copy()
    np.put_along_axis(others, first, -np.inf, axis=2)
    second = others.max(axis=2, initial=-np.inf)
    ends = [np.take_along_axis(side, first, 2)[:, :, 0] for side in taps]
    bend = np.clip(second, *ends)
    over = lines_around(pieces_of(lambda x: np.maximum(x, bend), ends[0], ends[1], [bend]))
    above, below = np.zeros(lows.shape, np.float32), np.zeros(lows.shape, np.float32)
    np.put_along_axis(above, first, over.high[:, :, np.newaxis], axis=2)
    with np.errstate(invalid="ignore"):
        nearest = np.argmax(np.where(np.isfinite(lows), lows + highs, -np.inf), axis=2)[:, :, np.newaxis]
    np.put_along_axis(below, nearest, np.float32(1), axis=2)
    flat = (lows.shape[0], lows.shape[1] * lows.shape[2], *lows.shape[3:])
    return Lines(below.reshape(flat), above.reshape(flat), np.zeros(shape), over.high_shift)


def seen_by(window: Window, array: Array, shape: Shape) -> Array:
    """What each tap sees at each place of the output, along a new axis behind the channels; -inf in the padding."""
    pads = [(0, 0), (0, 0), *zip(window.begins, window.ends, strict=True)]
    wide, found = np.pad(array, pads, constant_values=-np.inf), []
    for tap in product(*map(range, window.kernel)):
        starts = [t * d for t, d in zip(tap, window.dilations, strict=True)]
        steps = [slice(a, a + (n - 1) * s + 1, s) for a, s, n in zip(starts, window.strides, shape[2:], strict=True)]
        found.append(wide[(slice(None), slice(None), *steps)])
    return np.stack(found, axis=2)


def _slope(a: Array, b: Array, f: Array, g: Array) -> Array:
    """That of the line through two points, in single precision; 0 where they are one."""
    width = b - a
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        slope = np.where(width > 0, (g - f) / np.where(width > 0, width, 1.0), 0.0)
        single = slope.astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(single), single, 0.0)
