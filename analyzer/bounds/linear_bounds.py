"""Bounds that are linear in the inputs: layer by layer, each with what is known of those before it (CROWN).

Intervals bound each value by itself and forget what values have in common. Here every number that may bend something is
bounded by a line in the inputs, through all that lies between ("Efficient Neural Network Robustness Certification with
General Activation Functions", Zhang et al. 2018), and intervals go on from there. What a runtime rounds, and what these
rows do themselves, is part of the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.bounds.intervals import IntervalGraph
from analyzer.bounds.lines import Lines
from analyzer.bounds.region import LINED, Kind, Region
from analyzer.bounds.relaxed import RelaxedGraph
from analyzer.bounds.rows import RowGraph
from analyzer.bounds.sizes import SizeGraph, Sizes
from analyzer.bounds.slopes import Around, narrowest
from analyzer.errors import RunError
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Bools, Ints
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.ops.context import Call
from analyzer.ops.shared_context import context_of

MOST_KEPT = 1 << 26  # stored numbers of the ways back that are kept for further boxes
LITTLE = 1 << 22  # multiply-adds of a row, below which threads cost more than they bring
MOST_WIDE = 1 << 24  # those up to which rows are in double precision
MOST_WORK = 1 << 35  # multiply-adds of all rows for one box; of values that would take more only intervals are known


#: What bounds rows of a value, at most as many as are looked at together.
Bounding = Callable[[str, Array, Mapping[str, Box], Around, Callable[[], bool]], Array]


@dataclass(frozen=True, eq=False)
class Asked:
    """Elements of a value of which bounds are wanted: whether from above, and from below."""

    above: Bools
    below: Bools


class LinearBounds:
    """Ready to bound values for boxes within others; its memory goes back at the end of a `with` block.

    Attributes:
        skipped: values of which linear bounds would have taken too long.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        shapes: ShapeTable,
        widest: Mapping[str, Box],
        wanted: Collection[str],
        *,
        arithmetic: str = "float32",
        threads: int | None = None,
    ) -> None:
        """`wanted`: the values that will be asked about."""
        self._loaded = loaded
        self._context = context_of(loaded.graph, shapes.of_single_samples)
        self._region = Region(self._context, shapes, ARITHMETIC[arithmetic])
        before = _before(self._context.calls, wanted)
        self._calls = [
            c for c in self._context.calls if c.op.node.index in self._region.kinds and c.outputs[0] in before
        ]
        entering = dict[str, list[Call]]()
        for call in (call for call in self._calls if self._kind(call) in LINED):
            if self._kind(call) is Kind.BENT or not self._lined(call.op.node.inputs[0]):
                entering.setdefault(call.op.node.inputs[0], []).append(call)
        order = [name for call in self._context.calls for name in call.outputs]
        starts = [n for n in order if (n in entering or n in wanted) and self._region.fits(n)]
        self._bends = entering
        self._threads = threads = 1 if self._multiply_adds(self._calls) < LITTLE else threads
        stored = sum(prod(self._context.shapes[name] or (1,)) for name in loaded.graph.initializer_names)
        self._keeps, self._wide = (stored * len(starts) <= most for most in (MOST_KEPT, MOST_WIDE))
        self._graphs: dict[str, RowGraph] = {}
        self._starts = [n for n in starts if self._narrows(n)]
        linear = [c for c in self._calls if self._kind(c) not in LINED]
        summed = [c for c in linear if self._kind(c) in (Kind.SUM, Kind.MEAN)]
        self._intervals = IntervalGraph(
            loaded, shapes, widest, arithmetic=arithmetic, narrowed=self._starts, threads=threads
        )
        self._sizes = SizeGraph(loaded, linear, summed, threads=threads)
        self._relaxed: dict[str, RelaxedGraph] = {}
        self._lines: dict[str, tuple[Box, Lines]] = {}
        self.skipped: list[str] = []
        self._known: Mapping[str, Box] = {}

    def __enter__(self) -> LinearBounds:
        return self

    def __exit__(self, *_: object) -> None:
        self._intervals.__exit__()
        self._sizes.close()
        self._forget()

    def _forget(self) -> None:
        for graph in self._graphs.values():
            graph.close()
        for relaxed in self._relaxed.values():
            relaxed.close()
        self._graphs.clear()
        self._relaxed.clear()

    def bounds(
        self,
        inputs: Mapping[str, Box],
        asked: Mapping[str, Asked],
        goes_on: Callable[[], bool] = lambda: True,
        turns: int = 0,
    ) -> Mapping[str, Box]:
        """Bounds of all values, by intervals, and narrower ones of what was asked and of what leads there.

        With `turns`, slopes of lines are sought for what these leave open: so many times for each number, where rows
        take the place of samples. It ends early where it no longer `goes_on`; what is known then holds.
        """
        narrower, self.skipped = dict[str, Box](), list[str]()
        boxes: Mapping[str, Box] = self._intervals.bounds(inputs)
        needed, left = _before(self._context.calls, asked), MOST_WORK
        for name in self._starts:
            if name not in needed or name not in boxes:
                continue
            wanted = self._wanted(name, boxes[name], asked.get(name))
            if not goes_on():
                break
            if not wanted.above.any() and not wanted.below.any():
                continue
            work = int(wanted.above.sum() + wanted.below.sum()) * self._work(name)
            if work > left:
                self.skipped.append(name)
                continue
            left -= work
            box = self._narrowed(name, boxes, wanted, self._by_rows, goes_on)
            if box is not None and turns and self._region.batched:
                still = self._wanted(name, box, asked.get(name) if name not in self._bends else None)
                work = int(still.above.sum() + still.below.sum()) * self._work(name) * 2 * turns
                if work <= left:
                    left -= work
                    box = self._narrowed(name, {**boxes, name: box}, still, partial(self._by_slopes, turns), goes_on)
            if box is None:
                break
            narrower[name] = box
            boxes = self._intervals.bounds(inputs, narrower)
        if not turns:  # else it is some values alone that were asked about
            self._known = boxes
        return boxes

    @property
    def rows(self) -> frozenset[str]:
        """The values of which linear bounds are computed."""
        return frozenset(self._starts)

    @property
    def known(self) -> Mapping[str, Box]:
        """What `bounds` gave last without looking for slopes."""
        return self._known

    def together(self, value: str) -> int:
        """How many elements of a value are looked at together."""
        return self.row_graph(value).together

    def reaches(self, value: str) -> bool:
        """Whether rows of a value come to an input."""
        return not self._context.graph.inputs.keys().isdisjoint(self.row_graph(value).ends)

    def steepest(self, value: str, elements: Ints, signs: Ints) -> dict[str, Array]:
        """Corners of the inputs at which linear bounds of elements are largest (sign 1) or least: one per element."""
        boxes = self._known
        return {
            n: np.where(factors > 0, boxes[n].high, boxes[n].low)
            for n, factors in self.factors(value, elements, signs).items()
        }

    def factors(self, value: str, elements: Ints, signs: Ints) -> dict[str, Array]:
        """By input the factors of those linear bounds, in the box that was bounded last: one array per element."""
        boxes, graph = self._known, self.row_graph(value)
        around = self._around(graph, boxes)
        rows = _unit_rows(boxes[value].low.size, elements, signs)
        _, ends = graph.run(rows, boxes, around.sizes, around.lines)
        inputs = self._context.graph.inputs
        return {n: factors.reshape(-1, *boxes[n].low.shape) for n, factors in ends.items() if n in inputs}

    @property
    def batched(self) -> bool:
        """Whether rows take the place of samples; else they lie in front of them."""
        return self._region.batched

    def shape(self, value: str) -> Shape:
        """That of a value of one sample."""
        shape = self._context.shapes[value]
        assert shape is not None  # or nothing were known of it
        return shape

    def around(self, inputs: Mapping[str, Box], narrower: Mapping[str, Box]) -> Mapping[str, Box]:
        """Intervals alone, where other bounds of some values are known as well."""
        return self._intervals.bounds(inputs, narrower)

    def bending(self, value: str) -> list[str]:
        """What enters something that bends on the way to a value, first things first."""
        before = _before(self._context.calls, [value]) - {value}
        return [name for call in self._context.calls for name in call.outputs if name in before and name in self._bends]

    def open_to_bend(self, value: str, box: Box) -> Bools:
        """Which of its elements may lie on several pieces of what they enter."""
        return np.asarray(np.logical_or.reduce([self._region.open_to_bend(call, box) for call in self._bends[value]]))

    def lined(self, graph: RowGraph) -> dict[str, Call]:
        """What bends on the way of rows, by the value that comes out."""
        return {name: call for name, call in graph.through.items() if self._kind(call) in LINED}

    def lines_around(self, call: Call, boxes: Mapping[str, Box]) -> Lines:
        """Around what bends; boxes may be those of several parts, which lie where samples do."""
        return self._region.lines(call, boxes)

    def sizes(self, boxes: Mapping[str, Box], graph: RowGraph) -> Sizes:
        """Of what is added up on the way of rows."""
        return self._sizes.within(boxes, graph.through)

    def _kind(self, call: Call) -> Kind:
        return self._region.kinds[call.op.node.index]

    def _lined(self, name: str) -> bool:
        """Whether a value comes out of what rows go through by lines: its bounds follow from what enters there."""
        node = self._context.graph.producer.get(name)
        return node is not None and self._region.kinds.get(node.index) in LINED

    def _wanted(self, name: str, box: Box, asked: Asked | None) -> Asked:
        """All that may bend something, and what was asked."""
        shape = box.low.shape
        open_ = np.zeros(shape, np.bool_)
        for call in self._bends.get(name, ()):
            open_ |= self._region.open_to_bend(call, box)
        if asked is None:
            return Asked(open_, open_)
        return Asked(open_ | asked.above, open_ | asked.below)

    def _narrowed(
        self, name: str, boxes: Mapping[str, Box], wanted: Asked, bound: Bounding, goes_on: Callable[[], bool]
    ) -> Box | None:
        """The box with the bounds that rows give; None where the time was over."""
        above, below = np.flatnonzero(wanted.above), np.flatnonzero(wanted.below)
        low, high = (np.array(end, np.float64) for end in (boxes[name].low, boxes[name].high))
        elements = np.concatenate([above, below])
        signs = np.concatenate([np.ones(len(above), np.int64), -np.ones(len(below), np.int64)])
        around, together = self._around(self.row_graph(name), boxes), self.row_graph(name).together
        most = list[Array]()
        for place in range(0, len(elements), together):
            piece = slice(place, place + together)
            most.append(bound(name, _unit_rows(low.size, elements[piece], signs[piece]), boxes, around, goes_on))
            if place + together < len(elements) and not goes_on():
                return None
        found = np.concatenate([*most, np.zeros(0)])
        high.reshape(-1)[above] = np.fmin(high.reshape(-1)[above], found[: len(above)])
        low.reshape(-1)[below] = np.fmax(low.reshape(-1)[below], -found[len(above) :])
        return Box(low, high)

    def _by_rows(
        self, name: str, rows: Array, boxes: Mapping[str, Box], around: Around, goes_on: Callable[[], bool]
    ) -> Array:
        return self.row_graph(name).run(rows, boxes, around.sizes, around.lines)[0]

    def _by_slopes(
        self,
        turns: int,
        name: str,
        rows: Array,
        boxes: Mapping[str, Box],
        around: Around,
        goes_on: Callable[[], bool],
    ) -> Array:
        graph = self.row_graph(name)
        if not around.lines or not graph.bounded(boxes):
            return np.full(len(rows), np.inf)
        if name not in self._relaxed:
            self._relaxed[name] = RelaxedGraph(self._loaded, self._region, graph, threads=self._threads)
        return narrowest(graph, self._relaxed[name], rows, boxes, around, turns, goes_on)

    def _around(self, graph: RowGraph, boxes: Mapping[str, Box]) -> Around:
        """What rows meet on their way."""
        known = {n: c for n, c in self.lined(graph).items() if _finite(boxes.get(c.op.node.inputs[0]))}
        return Around(self.sizes(boxes, graph), {n: self._lines_of(n, c, boxes) for n, c in known.items()})

    def _lines_of(self, name: str, call: Call, boxes: Mapping[str, Box]) -> Lines:
        """Those that were had before, where what enters lies within the same bounds."""
        box = boxes[call.op.node.inputs[0]]
        before, lines = self._lines.get(name, (None, None))
        if before is None or lines is None or (before.low != box.low).any() or (before.high != box.high).any():
            lines = self._region.lines(call, boxes)
            self._lines[name] = box, lines
        return lines

    def row_graph(self, name: str) -> RowGraph:
        """The way back from a value."""
        if name not in self._graphs:
            if not self._keeps:
                self._forget()
            if not self._in_double(name):
                self._graphs[name] = RowGraph(self._loaded, self._region, name, threads=self._threads)
        return self._graphs[name]

    def _in_double(self, name: str) -> bool:
        """Carry rows back in double precision where onnxruntime has kernels for that; else not in later ones either."""
        if self._wide:
            try:
                self._graphs[name] = RowGraph(self._loaded, self._region, name, threads=self._threads, wide=True)
            except RunError:
                self._wide = False
        return self._wide

    def _work(self, name: str) -> int:
        """Multiply-adds of one row."""
        before = _before(self._context.calls, [name])
        calls = [call for call in self._calls if before.intersection(call.outputs)]
        return self._multiply_adds(calls)

    def _multiply_adds(self, calls: Collection[Call]) -> int:
        return sum(call.multiply_adds(lambda value: self._context.shapes[value]) or 0 for call in calls)

    def _narrows(self, name: str) -> bool:
        """Whether rows say more than intervals: of a single sum of what is fed they do in double precision alone."""
        start, sums = name, 0
        while (node := self._context.graph.producer.get(name)) is not None:
            call = self._context.by_node[node.index]
            kind, computed = self._region.kinds.get(node.index), self._region.computed(call)
            if kind is None or kind in LINED or len(computed) > 1:
                return kind is not None
            sums += kind in (Kind.SUM, Kind.MEAN)
            if sums > 1:
                return True
            name = node.inputs[computed[0]]
        return sums > 0 and self._in_double(start)


def _unit_rows(size: int, elements: Ints, signs: Ints) -> Array:
    rows = np.zeros((len(elements), size))
    rows[np.arange(len(elements)), elements] = signs
    return rows


def _finite(box: Box | None) -> bool:
    return box is not None and bool(np.isfinite(box.low).all() and np.isfinite(box.high).all())


def _before(calls: Collection[Call], values: Collection[str]) -> set[str]:
    """These values and all that they are computed from."""
    needed = set(values)
    for call in reversed([*calls]):
        if not needed.isdisjoint(call.outputs):
            needed.update(call.op.node.inputs)
    return needed
