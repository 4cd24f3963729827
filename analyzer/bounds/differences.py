"""How far outputs can move where one value is changed by so much: a graph of differences, which onnxruntime runs.

A sum moves no further than the magnitudes of its weights times how far what it reads moves; a function that is nowhere
steeper than a number no further than so many times that. Of what says nothing, the width of its bounds is taken: they
hold before and after the change, where the changed value stays within its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import ARITHMETIC, LARGEST, TINIEST, rounded_up
from analyzer.bounds.formulas import Formulas
from analyzer.bounds.free_lengths import with_free_lengths
from analyzer.facts.domain import Box
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call
from analyzer.ops.operator import traits_of
from analyzer.ops.shared_context import context_of
from analyzer.runtime.session import Session

LEAST_OPSET = 9
OF_FLOATS = "float32"


class DifferenceGraph:
    """From how far a value moves, element by element, to how far each output does at most, rounding aside.

    Attributes:
        outputs: of which outputs that is known; of others nothing is.
        whole: whether these are all.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        shapes: ShapeTable,
        value: str,
        bounds: Mapping[str, Box],
        *,
        threads: int | None = None,
    ) -> None:
        """`bounds` lie around values before and after the change: those that follow from intervals alone."""
        self._context = context_of(loaded.graph, shapes.of_single_samples)
        self._editor = Editor(loaded.copy())
        self._editor.empty(LEAST_OPSET)
        self._f = Formulas(self._editor, frozenset(loaded.graph.initializer_names))
        self._arithmetic, self._shapes, self._bounds = ARITHMETIC[OF_FLOATS], shapes.shapes, bounds
        self._widths: dict[str, str] = {}
        self._moved: dict[str, str | None] = {
            value: self._editor.input(f"{value}/moved", OF_FLOATS, self._shapes[value])
        }
        self._fed = self._moved[value]
        self._free = with_free_lengths(loaded.graph.nodes, [*loaded.graph.inputs, value], shapes.shapes)
        for call in self._context.calls:
            self._add(call, value)
        ends = {name: self._moved[name] for name in loaded.graph.outputs if name in self._moved}
        self.outputs = {name: end for name, end in ends.items() if end is not None}
        self.whole = len(self.outputs) == len(ends)
        self._computed = sorted({end for end in self.outputs.values() if end != self._fed})
        self._editor.output(*self._computed)
        self._editor.finish()
        self._session = Session(self._editor.loaded, threads=threads) if self._computed and self.whole else None

    def __enter__(self) -> DifferenceGraph:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def moved(self, far: Array) -> dict[str, float]:
        """By output how far any of its numbers moves at most, where the value moves no further than `far`."""
        feeds = {self._f.one: np.ones((), np.float32), str(self._fed): rounded_up(far)}
        for name, fed in self._widths.items():
            box = self._bounds[name]
            with np.errstate(invalid="ignore"):
                feeds[fed] = rounded_up(np.subtract(box.high, box.low, dtype=np.float64))
        results = feeds if self._session is None else {**feeds, **self._session.run(feeds)}
        return {name: float(np.max(results[end], initial=0.0)) for name, end in self.outputs.items()}

    def _add(self, call: Call, value: str) -> None:
        """Of what reads something that moves; a value is where elements of another are taken, too, and read in bodies.

        Only its lengths say nothing of what a value holds, where these are always the same.
        """
        node, op, traits = call.op.node, call.op, traits_of(call.op.node)
        read = [name for name in (*call.inputs, *node.captured) if name in self._moved]
        if traits.measures:
            read = [name for name in read if name in self._free]
        if not read:
            return
        trend = None if call.barrier is not None else call.rule.trend(op)
        inputs = {p: self._moved[name] for p, name in enumerate(node.inputs) if name in self._moved}
        known = {p: name for p, name in inputs.items() if name is not None}
        around = (*node.outputs, *(node.inputs[p] for p in inputs))
        single = all(self._context.dtype(name) == OF_FLOATS for name in around if name)
        places = {traits.target, None if trend is None else trend.spelled} | {p for p in inputs if p in traits.geometry}
        whole = len(known) == len(inputs) and not node.place and places.isdisjoint(inputs)
        found: Sequence[str | None] = ()
        if call.barrier is None and single and whole and {*read}.isdisjoint(node.captured):
            found = self._found(call, known)
        for place, name in enumerate(node.outputs):
            if name and name != value:
                far = (found[place] if place < len(found) else None) or self._width(name)
                self._moved[name] = None if name in self._free else far

    def _found(self, call: Call, moved: Mapping[int, str]) -> Sequence[str | None]:
        f, op, rule = self._f, call.op, call.rule
        trend, affine, total = rule.trend(op), rule.affine(op), rule.weighted_sum(op)
        if affine is not None and not affine.integers and moved.keys() <= affine.factors.keys():
            parts = [f.times(far, f.array(np.abs(affine.factors[p]))) for p, far in moved.items()]
            return [f.spread(f.times(reduce(f.plus, parts), 1 + self._arithmetic.off(len(parts))), op.y_shape())]
        if total is not None and total.plain and not total.activated and moved.keys() == {total.data}:
            weight = op.static(total.weight)
            terms = int(np.prod([op.x_shape(total.data)[a] for a in rule.summed_axes(op, total.data)]))
            if weight is None or weight.dtype != np.float32 or not np.isfinite(weight).all():
                return ()
            share = (1 + self._arithmetic.off(terms)) * np.sign(total.scales[0] or 1.0)
            sizes = np.where(weight == 0, 0, np.maximum(np.abs(weight, dtype=np.float64), TINIEST)) * share
            given = {total.data: moved[total.data], total.weight: f.array(sizes)}
            if total.bias is not None and op.has(total.bias):
                given[total.bias] = f.array(np.zeros(op.x_shape(total.bias)))
            return [f.again(op, given)[0]]
        if trend is None:
            return ()
        if rule.moves or (trend.linear and moved.keys() == {0}):
            return self._carried(call, moved)
        if trend.steepest is not None:
            return [self._steep(call, moved, trend.steepest)]
        return ()

    def _carried(self, call: Call, moved: Mapping[int, str]) -> Sequence[str | None]:
        """Through sums with numbers that are not below 0: the operator itself, less what it gives for nothing."""
        f, op, rule = self._f, call.op, call.rule
        trend = rule.trend(op)
        assert trend is not None
        spelled = {} if trend.spelled is None else {trend.spelled: f.lengths(op.y_shape())}
        computed = [p for p, array in enumerate(op.statics) if op.has(p) and array is None and p != trend.spelled]
        nothing = {p: f.times(f.array(np.zeros(op.x_shape(p))), f.one) for p in computed}
        ends, starts = f.again(op, {**spelled, **nothing, **moved}), f.again(op, {**spelled, **nothing})
        off = 1 + self._arithmetic.off(trend.terms) if trend.terms else 1.0
        return [f.times(f.size(f.minus(end, start)), off) for end, start in zip(ends, starts, strict=True)]

    def _steep(self, call: Call, moved: Mapping[int, str], steepest: float) -> str:
        """So many times the farthest that what an element is made of moves."""
        f, op, rule = self._f, call.op, call.rule
        shape, farthest = op.y_shape(), list[str]()
        for position, far in moved.items():
            own = op.x_shape(position)
            apart = len(own) == len(shape) and not position
            mixed = [] if rule.aligned else [a for a in range(len(own)) if not (apart and rule.keeps_units(op, a))]
            farthest.append(f.extreme(far, mixed, least=False, keep=len(own) == len(shape)) if mixed else far)
        return f.spread(f.times(f.largest(*farthest), steepest * (1 + self._arithmetic.off(2))), shape)

    def _width(self, name: str) -> str | None:
        """The width of a value's bounds, where both are known."""
        box = self._bounds.get(name)
        if box is None or name not in self._shapes or not all(np.isfinite(end).all() for end in (box.low, box.high)):
            return None
        if max(np.abs(box.low).max(initial=0), np.abs(box.high).max(initial=0)) > LARGEST / 4:
            return None
        if name not in self._widths:
            self._widths[name] = self._editor.input(f"{name}/width", OF_FLOATS, self._shapes[name])
        return self._widths[name]
