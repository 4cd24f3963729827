"""Straight lines above and below a function that is straight between the places where it bends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array

_OFF = 2.0**-48  # of our own arithmetic, in double precision: a share of the magnitudes that are added


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """`low * x + low_shift <= f(x) <= high * x + high_shift` between two ends; slopes are in single precision."""

    low: Array
    high: Array
    low_shift: Array
    high_shift: Array


def lines_around(
    function: Callable[[Array], Array], low: Array, high: Array, bends: Sequence[float], tried: Sequence[Array] = ()
) -> Lines:
    """The lines that are nearest to the function in the middle, of those that touch it at an end.

    For any slope s the largest of f(x) - s x lies at an end or where f bends, so that a slope may be rounded. `tried`
    are further slopes of the line below, element by element.
    """
    ends = np.asarray(low, np.float64), np.asarray(high, np.float64)
    places = [ends[0], *(np.clip(bend, *ends) for bend in sorted(bends)), ends[1]]
    values = [np.asarray(function(place)) for place in places]
    pieces = [_slope(a, b, f, g) for a, b, f, g in zip(places, places[1:], values, values[1:], strict=False)]
    first = pieces[0]
    for piece, a, b in zip(pieces[1:], places[1:], places[2:], strict=False):  # an end may lie beyond some bends
        first = np.where(places[0] == a, np.where(b > a, piece, first), first)
    last = pieces[-1]
    for piece, a, b in reversed([*zip(pieces[:-1], places, places[1:], strict=False)]):
        last = np.where(places[-1] == b, np.where(b > a, piece, last), last)
    chord = _slope(places[0], places[-1], values[0], values[-1])
    middle = (ends[0] + ends[1]) / 2
    above = [_touching(slope, places, values, 1) for slope in (chord, first, last)]
    below = [_touching(slope, places, values, -1) for slope in (*tried, first, last, chord)]
    if tried:
        below = below[: len(tried)]
    high_slope, high_shift = _nearest(above, middle, 1)
    low_slope, low_shift = _nearest(below, middle, -1)
    return Lines(low_slope.astype(np.float32), high_slope.astype(np.float32), low_shift, high_shift)


def _slope(a: Array, b: Array, f: Array, g: Array) -> Array:
    """That of the line through two points, in single precision; 0 where they are one."""
    width = b - a
    with np.errstate(over="ignore", invalid="ignore"):
        slope = np.where(width > 0, (g - f) / np.where(width > 0, width, 1.0), 0.0)
        return np.asarray(slope.astype(np.float32).astype(np.float64))


def _touching(slope: Array, places: Sequence[Array], values: Sequence[Array], side: int) -> tuple[Array, Array]:
    """A slope and the shift with which its line lies on one side (1: above) of the function, and touches it."""
    slope = np.asarray(slope, np.float64)
    shifts = [
        side * (f - slope * p) + _OFF * (np.abs(f) + np.abs(slope * p)) for f, p in zip(values, places, strict=True)
    ]
    return slope, side * np.maximum.reduce(shifts)


def _nearest(lines: Sequence[tuple[Array, Array]], middle: Array, side: int) -> tuple[Array, Array]:
    slopes, shifts = (np.stack(np.broadcast_arrays(*part)) for part in zip(*lines, strict=True))
    chosen = np.argmin(side * (slopes * middle + shifts), axis=0)[np.newaxis]
    return np.take_along_axis(slopes, chosen, 0)[0], np.take_along_axis(shifts, chosen, 0)[0]
