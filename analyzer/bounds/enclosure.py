"""Intervals of one operator call, from those of its computed inputs and from what the operator says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import LARGEST, Arithmetic, are_halves, halves_around
from analyzer.bounds.by_trend import ByTrend
from analyzer.bounds.formulas import Formulas, Interval
from analyzer.bounds.sums import Sums
from analyzer.ops.affine import Affine
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator
from analyzer.ops.trend import Ends, Trend

SINGLE, HALF = "float32", "float16"
#: Types of which bounds are known, as numbers: single precision is computed with, the others are moved and widened.
NUMBERS = (SINGLE, "float16", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_WIDE = (SINGLE, "float64", "int64")

Given = Sequence[Interval | None]
Types = Callable[[str], str | None]


class Enclosure:
    """Appends the intervals of calls; a method that knows nothing returns None, or no interval for an output."""

    def __init__(self, formulas: Formulas, arithmetic: Arithmetic) -> None:
        self._f, self._arithmetic = formulas, arithmetic
        self._types = {SINGLE, HALF} if arithmetic.narrow else {SINGLE}
        self._sums = Sums(formulas, arithmetic)

    def of(self, op: OpNode, rule: Operator, xs: Given, dtype: Types, wild: bool) -> list[Interval | None]:
        """Of the outputs, from the intervals of the inputs: None where one is stored, or may be any number.

        `dtype` tells the element type of a value. `wild`: results may be as large as numbers are.
        """
        found = self._found(op, rule, xs, dtype) if op.y_dtype in NUMBERS else ()
        return [x and self._settled(x, xs, wild) for x in found]

    def _settled(self, x: Interval, xs: Given, wild: bool) -> Interval:
        """An interval whose ends are numbers, and which says so where they may be as large as numbers are."""
        if x in xs:
            return x
        x = replace(x, wild=wild and max(-x.floor, x.ceiling) >= LARGEST)
        return self._f.guarded(x) if x.wild else x

    def _found(self, op: OpNode, rule: Operator, xs: Given, dtype: Types) -> Given:
        affine, trend = rule.affine(op), rule.trend(op)
        positions = {p for p, array in enumerate(op.statics) if op.has(p) and array is None}
        if trend is not None:
            positions = positions & {*trend.choices} if trend.choices else positions - {trend.spelled}
        types = {op.y_dtype, *(dtype(op.node.inputs[p]) for p in positions)}
        single = types <= self._types
        if affine is not None and affine.passes and not affine.integers:
            widened = op.y_dtype in _WIDE or op.y_dtype == op.x_dtype or op.y_dtype in self._types
            place = next(iter(affine.factors))
            return (self._spread(xs[place], op, [place]),) if widened else ()
        if trend is not None and (single or (rule.moves and types <= {*NUMBERS})):
            return self._by_trend(op, trend, {p: xs[p] for p in positions}, rule.moves)
        if op.y_dtype in self._types and rule.looks_up(op) and (table := op.static(0)) is not None:
            if np.isnan(table).any():
                return ()  # rows that make no number bound nothing
            ends = table.min(axis=0), table.max(axis=0)
            low, high = halves_around(*ends) if self._arithmetic.narrow else ends
            return (self._f.between(low, high, op.y_shape()),)
        if not single:
            return ()
        if (total := rule.weighted_sum(op)) is not None:
            return (self._sums.weighted(op, total, xs, rule.summed_axes(op, total.data)),)
        if (pair := rule.multiplied(op)) is not None:
            return (self._sums.products(op, pair, xs, lambda position: rule.summed_axes(op, position)),)
        return (None if affine is None else self._spread(self._affine(affine, xs), op, affine.factors),)

    def _spread(self, x: Interval | None, op: OpNode, read: Iterable[int]) -> Interval | None:
        """An interval with an end for each number: a stored zero or one may be what an operand is repeated for."""
        if x is None or any(op.x_shape(position) == op.y_shape() for position in read):
            return x
        return replace(x, low=self._f.spread(x.low, op.y_shape()), high=self._f.spread(x.high, op.y_shape()))

    def _by_trend(self, op: OpNode, trend: Trend, xs: Mapping[int, Interval | None], moves: bool) -> Given:
        if (trend.formula and self._arithmetic.unit) or np.isnan(trend.low).any() or np.isnan(trend.high).any():
            return ()
        if self._arithmetic.narrow and not (trend.linear or (trend.computes_nothing and _stores_halves(op))):
            return ()  # how many roundings there are inside, nobody says
        nothing = all(x is None for x in xs.values()) and not trend.choices
        if trend.ends is Ends.ANYWHERE or nothing:
            low, high = (np.asarray(end, np.float64) for end in (trend.low, trend.high))
            says = bool((low > -LARGEST).any() or (high < LARGEST).any())
            return (self._f.between(low, high, op.y_shape()),) if says else ()
        known = {p: x or self._f.endless(op.x_shape(p)) for p, x in xs.items()}
        found = ByTrend(self._f, self._arithmetic, op, trend).intervals(known)
        return found if moves else found[:1]

    def _affine(self, affine: Affine, xs: Given) -> Interval | None:
        """The sum of scaled inputs; what rounding adds to an end is a share of the magnitudes of all summands there."""
        sizes = np.abs(np.concatenate([np.ravel(array) for array in (*affine.factors.values(), affine.shift)]))
        small, large, narrow = self._arithmetic.small, self._arithmetic.large, self._arithmetic.narrow
        if affine.integers or not ((sizes == 0) | ((sizes > small) & (sizes < large))).all():
            return None  # what is no number, or nearly none
        if narrow and affine.summed is not None:
            return None  # of what is summed before it is added, digits may be lost
        f, given = self._f, {position: xs[position] for position in affine.factors}
        scaled = [(x, affine.factors[position]) for position, x in given.items() if x is not None]
        if len(scaled) < len(given):
            return None
        terms = max(x.terms for x, _ in scaled) + len(scaled) + 1
        off, wild = self._arithmetic.off(terms), any(x.wild for x, _ in scaled)
        summed, shift = np.abs(affine.shift) if affine.summed is None else affine.summed, affine.shift
        # products may be so small that digits are lost; of 0 they are 0
        lost = [f.smallest(f.magnitude(x), f.number(small)) for x, factor in scaled if (np.abs(factor) != 1).any()]

        def end(parts: Sequence[str], sign: int) -> str:
            away = reduce(f.plus, [*(f.times(f.size(part), off) for part in parts), *lost])
            whole = [*parts, f.array(shift + sign * off * summed)] if summed.any() else parts
            return (f.plus if sign > 0 else f.minus)(reduce(f.plus, whole), away)

        lows, highs = zip(*(self._scaled(x, factor) for x, factor in scaled), strict=True)
        most = sum(float(np.abs(factor).max()) * max(-x.floor, x.ceiling) for x, factor in scaled)
        most = (1.1 + 2 * off) * (most + float(summed.max(initial=0)))
        return Interval(end(lows, -1), end(highs, 1), -most, most, terms, wild)

    def _scaled(self, x: Interval, factor: Array) -> tuple[str, str]:
        f = self._f
        if (factor == 1).all():
            return x.low, x.high
        if (factor == -1).all():
            return f.negative(x.high), f.negative(x.low)
        by = f.array(factor)
        low, high = f.times(x.low, by), f.times(x.high, by)
        if (factor >= 0).all():
            return low, high
        return (high, low) if (factor <= 0).all() else (f.smallest(low, high), f.largest(low, high))


def _stores_halves(op: OpNode) -> bool:
    """Whether the numbers that a call has stored are halves already."""
    numbers = [array for array in op.statics if array is not None and array.dtype.kind == "f"]
    numbers += [np.asarray(value) for value in op.node.attributes.values() if isinstance(value, float)]
    return all(map(are_halves, numbers))
