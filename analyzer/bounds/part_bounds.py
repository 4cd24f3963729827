"""Linear bounds over many parts of a box at once: rows of all of them share runs, each with the lines of its part.

What is off by rounding is taken from the box around all parts that are looked at together, in which each of them lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.bounds.linear_bounds import LinearBounds
from analyzer.bounds.lines import Lines
from analyzer.bounds.rows import RowGraph
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Floats, Ints
from analyzer.ops.context import Call

CACHED = 4  # the share of the rows that may be looked at together which fits into caches
Boxes = Mapping[str, Box]  # of several parts: both ends have an axis of parts in front, in place of that of samples


@dataclass(frozen=True, eq=False)
class Highest:
    """Of elements of a value, times a sign, over several parts.

    Attributes:
        most: what none of them exceeds, [parts].
        counts: by input the factors of the linear bound that is highest, [parts, elements].
        known: bounds of what may bend something, which hold for parts of these parts as well.
    """

    most: Floats
    counts: Mapping[str, Array]
    known: Boxes


class PartBounds:
    """Bounds over parts of the box that `linear` is ready for."""

    def __init__(self, linear: LinearBounds) -> None:
        self._linear = linear

    def takes(self, value: str) -> bool:
        """Whether rows of a value share a run, and come to an input."""
        return value in self._linear.rows and self._linear.row_graph(value).shared and self._linear.reaches(value)

    def shape(self, value: str) -> Shape:
        """That of a value of one sample."""
        return self._linear.shape(value)

    def around(self, parts: Boxes, narrower: Boxes) -> Boxes:
        """Intervals that hold in all of these parts, where bounds of some values in them are known as well."""
        inputs = {name: self._around_all(name, box) for name, box in parts.items()}
        return self._linear.around(inputs, {name: self._around_all(name, box) for name, box in narrower.items()})

    def highest(self, value: str, elements: Ints, sign: int, parts: Boxes, known: Boxes) -> Highest:
        """Bounds of some elements of a value; `known` are those of values over parts that these are parts of."""
        boxes, count = self.around(parts, known), len(next(iter(parts.values())).low)
        found, lines = dict(known), dict[str, Lines]()
        for name in self._linear.bending(value):
            graph = self._linear.row_graph(name)
            if name not in boxes or not graph.bounded(boxes):
                continue
            box = self._start(name, boxes, known, count)
            flat = [end.reshape(count, -1) for end in (box.low, box.high)]
            rows_of, places = np.nonzero(self._linear.open_to_bend(name, box).reshape(count, -1))
            both = np.repeat(rows_of, 2), np.repeat(places, 2), np.tile([1, -1], len(places))
            most, _ = self._run(graph, both, parts, boxes, found, lines)
            above, below = most[::2], most[1::2]
            flat[1][rows_of, places] = np.fmin(flat[1][rows_of, places], above)
            flat[0][rows_of, places] = np.fmax(flat[0][rows_of, places], -below)
            if not (flat[0] <= flat[1]).all():
                raise AssertionError(f"the bounds of {name} cross over a part: this is a mistake in deadunits")
            found[name] = box
        graph = self._linear.row_graph(value)
        nothing = {name: np.zeros((count, box.low[0].size)) for name, box in parts.items()}
        if not graph.bounded(boxes):
            return Highest(np.full(count, np.inf), nothing, found)
        asked = np.repeat(np.arange(count), len(elements)), np.tile(elements, count)
        signs = np.full(len(asked[0]), sign)
        most, ends = self._run(graph, (*asked, signs), parts, boxes, found, lines)
        ends_of = (boxes[value].high if sign > 0 else -boxes[value].low).reshape(-1)[elements]
        each = np.fmin(most.reshape(count, len(elements)), ends_of)
        first = np.argmax(each, axis=1) + len(elements) * np.arange(count)
        counts = {name: ends[name][first] if name in ends else none for name, none in nothing.items()}
        return Highest(each.max(axis=1), counts, found)

    def _start(self, name: str, boxes: Boxes, known: Boxes, count: int) -> Box:
        """What is known of a value over each part before rows are looked at."""
        shape, before = self._shape(name, count), known.get(name)
        ends = [np.broadcast_to(end, shape).astype(np.float64) for end in (boxes[name].low, boxes[name].high)]
        if before is not None:
            ends = [np.fmax(ends[0], before.low), np.fmin(ends[1], before.high)]
        return Box(*ends)

    def _run(
        self,
        graph: RowGraph,
        asked: tuple[Ints, Ints, Ints],
        parts: Boxes,
        boxes: Boxes,
        found: Boxes,
        lines: dict[str, Lines],
    ) -> tuple[Floats, dict[str, Array]]:
        """What is not exceeded, row by row, and the factors at inputs.

        `asked` are the parts, in rising order, the places and the signs of rows.
        """
        rows_of, places, signs = asked
        sizes, lined = self._linear.sizes(boxes, graph), self._linear.lined(graph)
        for name, call in lined.items():
            if name not in lines:
                lines[name] = self._lines(call, boxes, found)
        terms = graph.terms(boxes, sizes, {name: lines[name] for name in lined})
        inputs = [name for name in graph.ends if name in parts]
        if inputs:
            terms |= graph.terms({**boxes, **parts}, sizes, {}, inputs)
        most, ends = list[Array](), dict[str, list[Array]]()
        step = max(graph.together // CACHED, 1)
        for start in range(0, len(places), step):
            piece = slice(start, start + step)
            rows = np.zeros((len(places[piece]), boxes[graph.start].low.size))
            rows[np.arange(len(rows)), places[piece]] = signs[piece]
            factors = graph.factors(rows, {name: _of_rows(lines[name], rows_of[piece]) for name in lined})
            most.append(graph.total(factors, terms, boxes, rows_of[piece]))
            for name in inputs:
                ends.setdefault(name, []).append(factors[name])
        return np.concatenate([*most, np.zeros(0)]), {name: np.concatenate(some) for name, some in ends.items()}

    def _lines(self, call: Call, boxes: Boxes, found: Boxes) -> Lines:
        name = call.op.node.inputs[0]
        return self._linear.lines_around(call, {**boxes, name: found[name]} if name in found else boxes)

    def _shape(self, name: str, count: int) -> tuple[int, ...]:
        shape = self._linear.shape(name)
        return (count, *(shape[1:] if self._linear.batched else shape))

    def _around_all(self, name: str, box: Box) -> Box:
        shape = self._linear.shape(name)
        return Box(box.low.min(axis=0).reshape(shape), box.high.max(axis=0).reshape(shape))


def _of_rows(lines: Lines, rows_of: Ints) -> Lines:
    """The lines that each row reads; those of all parts where they are the same."""
    several = lines.low.ndim > 1 and len(lines.low) > 1
    low, high = (side[rows_of] if several else side for side in (lines.low, lines.high))
    return Lines(low, high, lines.low_shift, lines.high_shift)
