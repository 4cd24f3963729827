"""Where a graph is linear, and where lines lie around what is not: what rows of factors can be carried back through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import DOUBLE_UNIT, MOST_TERMS, TINIEST, UNIT, Arithmetic
from analyzer.bounds.lines import Lines, lines_around, lines_of_largest, pieces_of
from analyzer.bounds.sizes import Sizes
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Bools
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import traits_of
from analyzer.ops.pull_back import MOST_COPIES
from analyzer.ops.trend import Trend

SINGLE = "float32"
LARGEST_FACTOR = 1e30
MOST_TAPS = 64  # of a window whose largest element is looked for
_OWN = 8  # roundings of our own in single precision beside the sums: slopes, factors, sums of two rows
_SAFETY = 1.02


class Kind(Enum):
    """What rows are carried through."""

    SUM = "a sum of inputs with stored weights"
    AFFINE = "inputs that are scaled and shifted place by place"
    MOVE = "elements that are moved"
    MEAN = "a sum with weights that the operator has"
    BENT = "a function of one element, around which lines are had"
    LARGEST = "the largest of a window of elements"


LINED = frozenset((Kind.BENT, Kind.LARGEST))  # rows go through these by lines


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What a value adds to what its inputs give, between two arrays; a row reads the end that its sign asks for."""

    low: Array
    high: Array


class Region:
    """The calls of a graph, and what is known of those through which rows can be carried.

    Attributes:
        kinds: by the index of a node what it is; rows end at others.
    """

    def __init__(self, context: Context, shapes: ShapeTable, arithmetic: Arithmetic) -> None:
        self.context, self._shapes, self._arithmetic = context, shapes, arithmetic
        self._terms, self._readers = dict[int, int](), dict[int, int]()
        axes = [shapes.sample_axes.get(name) for name in context.graph.inputs if context.dtype(name) == SINGLE]
        #: Whether rows take the place of samples, so that several share a run.
        self.batched = shapes.samples == 1 and all(axis == SampleAxis(0) for axis in axes)
        self.kinds = {call.op.node.index: kind for call in context.calls if (kind := self._kind(call)) is not None}

    def computed(self, call: Call) -> list[int]:
        """Positions of the inputs that are computed and hold more than lengths."""
        traits, op = traits_of(call.op.node), call.op
        return [p for p, array in enumerate(op.statics)
                if op.has(p) and array is None and p != traits.target and p not in traits.geometry]  # fmt: skip

    def fits(self, name: str) -> bool:
        """Whether a value holds floats, and one sample along its first axis where several rows are to share a run."""
        shape = self._shapes.shapes.get(name)
        if shape is None or self.context.dtype(name) != SINGLE:
            return False
        return not self.batched or (shape[:1] == (1,) and self._shapes.sample_axes.get(name) == SampleAxis(0))

    def _kind(self, call: Call) -> Kind | None:
        op, rule, computed = call.op, call.rule, self.computed(call)
        values = [*(op.node.inputs[p] for p in computed), *filter(None, op.outputs)]
        if call.barrier is not None or op.node.place or not computed or not all(map(self.fits, values)):
            return None
        affine, trend, total = rule.affine(op), rule.trend(op), rule.weighted_sum(op)
        if affine is not None:
            factors = np.concatenate([np.ravel(f) for f in (*affine.factors.values(), affine.shift)])
            fits = not affine.integers and affine.factors.keys() == {*computed}
            return Kind.AFFINE if fits and (np.abs(factors) < LARGEST_FACTOR).all() else None
        if total is not None:
            weight, bias = op.static(total.weight), total.bias
            known = bias is None or not op.has(bias) or op.static(bias) is not None
            plain = total.plain and not total.activated and computed == [total.data] and known
            fits = weight is not None and weight.dtype == np.float32 and bool((np.abs(weight) < LARGEST_FACTOR).all())
            return Kind.SUM if plain and fits and self.terms(call) <= MOST_TERMS else None
        if rule.moves:
            return None if trend is None else Kind.MOVE
        if trend is None or computed != [0]:
            return None
        if (window := rule.largest_of(op)) is not None:
            return Kind.LARGEST if prod(window.kernel) <= MOST_TAPS else None
        if trend.linear:
            return Kind.MEAN if trend.terms <= MOST_TERMS else None
        return Kind.BENT if trend.bends is not None and op.x_shape() == op.y_shape() else None

    def terms(self, call: Call) -> int:
        """How many numbers are added up in each element that comes out."""
        if call.op.node.index not in self._terms:
            self._terms[call.op.node.index] = self._counted_terms(call)
        return self._terms[call.op.node.index]

    def _counted_terms(self, call: Call) -> int:
        op, total, trend = call.op, call.rule.weighted_sum(call.op), call.rule.trend(call.op)
        if total is not None:
            return prod(op.x_shape(total.data)[axis] for axis in call.rule.summed_axes(op, total.data)) + 1
        return 1 if trend is None else max(trend.terms, 1)

    def readers(self, call: Call) -> int:
        """How many elements that come out read one that goes in, at most."""
        if call.op.node.index not in self._readers:
            self._readers[call.op.node.index] = self._counted_readers(call)
        return self._readers[call.op.node.index]

    def _counted_readers(self, call: Call) -> int:
        op, total = call.op, call.rule.weighted_sum(call.op)
        if total is not None:
            weight = op.static(total.weight)
            assert weight is not None  # or it were no sum here
            return int(weight.size if total.axis is None else -(-weight.size // op.x_shape(total.data)[total.axis]))
        window = call.rule.largest_of(op)
        if window is not None:
            return prod(window.kernel)
        kind = self.kinds[op.node.index]
        if kind is Kind.AFFINE:  # which may be repeated beside others
            return max(prod(op.y_shape()) // max(prod(op.x_shape(p)), 1) for p in self.computed(call))
        return MOST_COPIES if kind is Kind.MOVE else self.terms(call)

    def open_to_bend(self, call: Call, box: Box) -> Bools:
        """Which elements of what enters a call may lie on several of its pieces."""
        if self.kinds[call.op.node.index] is Kind.LARGEST:
            return np.asarray(box.low < box.high)
        trend = self._trend(call)
        inside = [(box.low < bend) & (box.high > bend) for bend in trend.bends or ()]
        if trend.curvature.most:
            inside.append(
                (box.low < box.high) & (box.low < trend.curvature.reach) & (box.high > -trend.curvature.reach)
            )
        return np.asarray(np.logical_or.reduce(inside or [np.zeros(box.low.shape, np.bool_)]))

    def lines(self, call: Call, boxes: Mapping[str, Box]) -> Lines:
        """Around what bends, between the bounds of what goes in."""
        box = boxes[call.op.node.inputs[0]]
        window = call.rule.largest_of(call.op)
        if window is not None:
            return lines_of_largest(window, box.low, box.high, (len(box.low), *call.op.y_shape()[1:]))
        trend = self._trend(call)
        stored = [Constants.unknown(0) if array is None else Constants.exactly(array) for array in call.op.statics]

        def function(x: Array) -> Array:
            (found, *_) = call.rule.constants(call.op, [Constants.exactly(x), *stored[1:]])
            return np.broadcast_to(found.number, x.shape)

        return lines_around(pieces_of(function, box.low, box.high, trend.bends or (), trend.curvature))

    def _trend(self, call: Call) -> Trend:
        trend = call.rule.trend(call.op)
        assert trend is not None and trend.bends is not None  # or it were not bent
        return trend

    def added(
        self,
        call: Call,
        output: int,
        boxes: Mapping[str, Box],
        sizes: Sizes,
        lines: Lines | None,
        adds: int,
        wide: bool = False,
    ) -> Terms:
        """What a value adds, with all that a runtime and our own rows may be off by.

        `adds`: of how many rows those of one of its inputs are the sum, at most. `wide`: rows are in double precision.
        """
        op, name, kind = call.op, call.op.outputs[output], self.kinds[call.op.node.index]
        own = (self.readers(call) + adds + _OWN) * (DOUBLE_UNIT if wide and self._exact(call) else UNIT) * _SAFETY
        shape = self._shapes.shapes[name]
        if kind is Kind.LARGEST:
            assert lines is not None
            off = np.asarray(own * _magnitude(boxes[op.node.inputs[0]]).max(initial=0))
            return Terms(lines.low_shift - off, lines.high_shift + off)
        if kind is Kind.BENT:
            assert lines is not None
            trend, x = call.rule.trend(op), _magnitude(boxes[op.node.inputs[0]])
            assert trend is not None
            steep = np.maximum(np.abs(lines.low), np.abs(lines.high)).astype(np.float64)
            y = _magnitude(boxes[name])
            off = 2 * trend.relative * y + 2 * trend.absolute + (own * steep + 2 * trend.scaled) * x
            return Terms(lines.low_shift - off, lines.high_shift + off)
        if kind is Kind.AFFINE:
            affine = call.rule.affine(op)
            assert affine is not None
            summed = sum((np.abs(f) * _magnitude(boxes[op.node.inputs[p]])
                         for p, f in affine.factors.items()), np.zeros(()))  # fmt: skip
            shift = np.broadcast_to(affine.shift, shape).astype(np.float64)
            summed = summed + (np.abs(affine.shift) if affine.summed is None else affine.summed)
            terms = 0 if affine.passes else len(affine.factors) + 1 + self._fused(call)
            share = (self._arithmetic.computed(terms) if terms else 0.0) + own
            away = share * np.broadcast_to(summed, shape) + 2 * TINIEST
            return Terms(shift - away, shift + away)
        if kind is Kind.MOVE:
            offset, away = sizes.offsets[name], own * _magnitude(boxes[name])
            return Terms(offset - away, offset + away)
        size, offset = sizes.sizes[name], sizes.offsets[name]
        share = self._arithmetic.computed(self.terms(call)) + own
        away = share * 1.01 * size + 4 * UNIT * np.abs(offset) + 8 * TINIEST * self.terms(call)
        return Terms(offset - away, offset + away)

    def _exact(self, call: Call) -> bool:
        """Whether factors in double precision are those of the formula, but for their last digits there."""
        affine = call.rule.affine(call.op)  # what scales may have been computed in single precision
        return affine is None or all((np.abs(factors) == 1).all() for factors in affine.factors.values())

    def _fused(self, call: Call) -> int:
        """Terms of a sum in front, which a runtime may take together with what is scaled."""
        before = [self.context.graph.producer.get(call.op.node.inputs[p]) for p in self.computed(call)]
        calls = [self.context.by_node[node.index] for node in before if node is not None]
        return max((self.terms(c) for c in calls if c.op.node.index in self.kinds), default=0) + 1


def _magnitude(box: Box) -> Array:
    return np.maximum(np.abs(box.low), np.abs(box.high)).astype(np.float64)
