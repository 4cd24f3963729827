"""Slopes of the lines around what bends, sought row by row so that a row's bound gets narrower (alpha-CROWN).

Any slope gives a line that holds, with the shift that belongs to it, so nothing that is tried can be wrong. A bound
moves with the slope of a line that its row reads by the row's factor times how far the number there lies from where the
line touches, all numbers taken at the corner of the inputs, and on the lines, that make the bound ("Fast and Complete:
Enabling Complete Neural Network Verification with Rapid and Massively Parallel Incomplete Verifiers", Xu et al. 2021;
there gradients come by automatic differentiation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.lines import Lines, Pieces
from analyzer.bounds.relaxed import RelaxedGraph
from analyzer.bounds.rows import RowGraph
from analyzer.bounds.sizes import Sizes
from analyzer.facts.domain import Box

FIRST_STEP, SHRINKS = 0.1, 0.95  # shares: of all slopes that there are, and of the step before
_KEPT, _SPREAD_KEPT = 0.9, 0.999  # of what gradients were (Kingma and Ba 2015)
_LITTLE = 1e-12
_CHOICE = 1e-6  # share of the magnitudes by which a function has to lie off the line through its ends


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What rows of a value meet on their way: sizes of what is added up, and lines around what bends."""

    sizes: Sizes
    lines: Mapping[str, Lines]


class _Side:
    """Slopes on one side (1: above) of a function, [rows, elements where there is a choice]."""

    def __init__(self, pieces: Pieces, side: int, slopes: Array, rows: int) -> None:
        first, last, low, high = pieces.places[0], pieces.places[-1], pieces.values[0], pieces.values[-1]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            chord = np.where(last > first, (high - low) / (last - first), 0.0)
            beyond = [side * (f - low - chord * (p - first))
                      for p, f in zip(pieces.places, pieces.values, strict=True)]  # fmt: skip
            farthest = np.maximum.reduce(beyond)
        size = np.abs(low) + np.abs(high)
        self.side, self.index = side, np.flatnonzero((farthest > _CHOICE * size).reshape(-1))
        chosen = [[np.broadcast_to(part, low.shape).reshape(-1)[self.index][np.newaxis] for part in parts]
                  for parts in (pieces.places, pieces.values, pieces.away)]  # fmt: skip
        self._pieces = Pieces(*chosen)
        steps = [self._pieces.steepness(piece) for piece in range(len(self._pieces.away))]
        self._least, self._most = np.minimum.reduce(steps), np.maximum.reduce(steps)
        self.slopes = np.repeat(slopes.reshape(1, -1)[:, self.index].astype(np.float64), rows, axis=0)
        self._mean, self._spread = np.zeros_like(self.slopes), np.zeros_like(self.slopes)

    @property
    def shift(self) -> Array:
        """Those of the lines."""
        return self._pieces.shift(self.slopes, self.side)

    def step(self, factors: Array, numbers: Array, turn: int) -> None:
        """Towards narrower bounds; `factors` and `numbers` are [rows, elements] of all elements."""
        factors, numbers = (array[:, self.index].astype(np.float64) for array in (factors, numbers))
        read = np.maximum(factors, 0) if self.side > 0 else np.minimum(factors, 0)
        slope = read * (numbers - self._pieces.touched(self.slopes, self.side))
        self._mean = _KEPT * self._mean + (1 - _KEPT) * slope
        self._spread = _SPREAD_KEPT * self._spread + (1 - _SPREAD_KEPT) * slope**2
        size = np.sqrt(self._spread / (1 - _SPREAD_KEPT**turn)) + _LITTLE
        step = FIRST_STEP * SHRINKS**turn * (self._most - self._least) * self._mean / (1 - _KEPT**turn) / size
        moved = np.clip(self.slopes - step, self._least, self._most)
        self.slopes = moved.astype(np.float32).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class RowLines:
    """The lines of one value for several rows, while their slopes are sought."""

    start: Lines
    below: _Side
    above: _Side
    rows: int

    @staticmethod
    def around(pieces: Pieces, start: Lines, rows: int) -> RowLines:
        """All rows start with the same lines."""
        return RowLines(start, _Side(pieces, -1, start.low, rows), _Side(pieces, 1, start.high, rows), rows)

    @property
    def chooses(self) -> bool:
        """Whether there is a choice at all."""
        return bool(len(self.below.index) or len(self.above.index))

    @property
    def lines(self) -> Lines:
        """As they are now: arrays have an axis of rows in place of the axis of samples."""
        low, low_shift = self._filled(self.below, self.start.low, self.start.low_shift)
        high, high_shift = self._filled(self.above, self.start.high, self.start.high_shift)
        return Lines(low, high, low_shift, high_shift)

    def step(self, factors: Array, numbers: Array, turn: int) -> None:
        """Seek further, where rows have these factors and numbers at the value."""
        self.below.step(factors, numbers, turn)
        self.above.step(factors, numbers, turn)

    def _filled(self, side: _Side, slopes: Array, shifts: Array) -> tuple[Array, Array]:
        if not len(side.index):
            return slopes, shifts
        filled = []
        for start, found in ((slopes, side.slopes), (shifts, side.shift)):
            array = np.repeat(start.reshape(1, -1), self.rows, axis=0)
            array[:, side.index] = found
            filled.append(array.reshape(self.rows, *start.shape[1:]))
        return filled[0], filled[1]


def narrowest(
    graph: RowGraph,
    relaxed: RelaxedGraph,
    rows: Array,
    boxes: Mapping[str, Box],
    around: Around,
    turns: int,
    goes_on: Callable[[], bool],
) -> Array:
    """What no sum exceeds, row by row: the least of what so many turns find, as long as it `goes_on`.

    There are no more rows than are looked at together.
    """
    sought = {
        name: found
        for name, lines in around.lines.items()
        if lines.pieces is not None and (found := RowLines.around(lines.pieces, lines, len(rows))).chooses
    }
    terms = graph.terms(boxes, around.sizes, around.lines)
    best, turn = np.full(len(rows), np.inf), 0
    while True:
        now = {**around.lines, **{name: found.lines for name, found in sought.items()}}
        factors = graph.factors(rows, now)
        terms.update(graph.terms(boxes, around.sizes, now, sought))
        best = np.asarray(np.fmin(best, graph.total(factors, terms, boxes)))
        if turn == turns or not sought or not goes_on():
            return best
        turn += 1
        ends = {name: _corner(factors[name], boxes[name]) for name in graph.ends}
        read = {name: _read(factors[name], now[name]) for name in now}
        numbers = relaxed.entering(ends, read)
        for name, found in sought.items():
            found.step(factors[name], numbers[name], turn)


def _corner(factors: Array, box: Box) -> Array:
    """Where a row is largest, with an axis of rows in place of that of samples."""
    low, high = (end.reshape(1, -1) for end in (box.low, box.high))
    return np.asarray(np.where(factors > 0, high, low).reshape(-1, *box.low.shape[1:]), np.float32)


def _read(factors: Array, lines: Lines) -> Lines:
    """The lines that rows of these factors read, once for all."""
    above = factors.reshape(-1, *lines.low_shift.shape[1:]) > 0
    taps = lines.low.shape[1] // above.shape[1] if above.ndim > 1 else 1
    slope = np.where(np.repeat(above, taps, axis=1) if taps > 1 else above, lines.high, lines.low)
    shift = np.where(above, lines.high_shift, lines.low_shift)
    return Lines(slope, slope, shift, shift)
