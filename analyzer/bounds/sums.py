"""Intervals of sums of products: by middle and radius, wide enough for what a runtime computes in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import LARGEST, MOST_TERMS, TINIEST, Arithmetic
from analyzer.bounds.formulas import Formulas, Interval
from analyzer.ops.node import OpNode
from analyzer.ops.weighted_sum import WeightedSum

_SUMS_TO_ONE = 2e-5  # how far from 1 weights may add up, as onnxruntime rounds them


class Sums:
    """Appends the intervals of weighted sums, and of products of two computed values."""

    def __init__(self, formulas: Formulas, arithmetic: Arithmetic) -> None:
        self._f, self._arithmetic = formulas, arithmetic
        self._types = (np.float32, np.float16) if arithmetic.narrow else (np.float32,)

    def weighted(
        self, op: OpNode, total: WeightedSum, xs: Sequence[Interval | None], summed: Sequence[int]
    ) -> Interval | None:
        """|W x - W c| <= |W| r for x in [c - r, c + r]; `summed` are the axes of the data that are summed over.

        A runtime's sum is off by at most a share of |W| max(|low|, |high|) + |bias|, which is put into the radius of
        the data and of the bias. So it costs no sum of its own. A unit that reads nothing is its bias to the last bit.
        """
        weight, rows = op.static(total.weight), total.rows
        if weight is None or weight.dtype not in self._types or not total.plain or total.activated:
            return None
        terms = rows[0].size if rows is not None else prod(op.x_shape(total.data)[axis] for axis in summed)
        reads = np.ones(1, np.bool_) if rows is None else (rows != 0).any(axis=(1, 2))
        data, place = xs[total.data], total.bias if total.scales[1] else None  # times 0 it is not read
        if terms > MOST_TERMS or not np.isfinite(weight).all() or (data is None and reads.all()):
            return None
        if place is not None and op.has(place) and op.static(place) is None and xs[place] is None:
            return None
        data = self._f.endless(op.x_shape(total.data)) if data is None else data
        off = self._arithmetic.off(terms + 1)
        middle, radius = self._centred(data, off)
        inner, outer = {total.data: middle}, {total.data: radius, total.weight: self._sizes(weight, total, data, off)}
        largest = abs(total.scales[0]) * float(np.abs(weight).max(initial=0))
        lost = reads * (4 * self._arithmetic.faint * terms * (1 + largest))
        rank = len(op.y_shape())
        fits = total.unit_axis is not None and len(lost) == op.y_shape()[total.unit_axis]
        lost = pattern.on_axis(lost, total.unit_axis or 0, rank) if fits else lost.reshape((1,) * rank)
        if place is not None:
            inner[place], outer[place] = self._bias(op, place, total.scales[1], xs, lost, off)
        elif total.bias is not None:
            inner[total.bias] = outer[total.bias] = ""
        y, q = self._f.again(op, inner)[0], self._f.again(op, outer)[0]
        q = q if place is not None else self._f.plus(q, self._f.array(lost))
        found = Interval(self._f.minus(y, q), self._f.plus(y, q), terms=terms + 1)
        return self._one_sided(op, total, data, found) if fits else found

    def _one_sided(self, op: OpNode, total: WeightedSum, data: Interval, x: Interval) -> Interval:
        """Sums of products of one sign: those that are not above 0 never take a sum above its bias, in any order.

        Rounding is monotone, so that no addend below 0 makes a sum larger. Nothing here grows with the products, whose
        rounding may be far more than the bias.
        """
        rows, sign = total.rows, 1 if data.floor >= 0 else -1 if data.ceiling <= 0 else 0
        if rows is None or not sign or total.scales != (1.0, 1.0):
            return x
        biases = total.offsets
        away = self._arithmetic.off(1) * np.abs(biases) + self._arithmetic.faint * (biases != 0)
        rank, known = len(op.y_shape()), np.isfinite(biases)
        falls, rises = (known & one_side.all(axis=(1, 2)) for one_side in (rows * sign <= 0, rows * sign >= 0))

        def limit(chosen: Array, end: Array, otherwise: float) -> str:
            return self._f.array(pattern.on_axis(np.where(chosen, end, otherwise), total.unit_axis or 0, rank))

        if falls.any():
            x = replace(x, high=self._f.smallest(x.high, limit(falls, biases + away, LARGEST)))
        if rises.any():
            x = replace(x, low=self._f.largest(x.low, limit(rises, biases - away, -LARGEST)))
        return x

    def _sizes(self, weight: Array, total: WeightedSum, data: Interval, off: float) -> str:
        small = np.abs(weight) < self._arithmetic.small  # some may be flushed to 0
        sizes = np.where(weight == 0, 0, np.where(small, self._arithmetic.lost, np.abs(weight)))
        return self._f.array(sizes * (float(np.sign(total.scales[0])) * (1 + 2 * off if data.wild else 1)))

    def _bias(
        self, op: OpNode, place: int, factor: float, xs: Sequence[Interval | None], lost: Array, off: float
    ) -> tuple[str, str]:
        """For the middle and for the radius, where the operator takes a bias: `lost` goes there, too."""
        added, given, array = lost / factor, op.has(place), op.static(place)
        if given and array is None and (x := xs[place]) is not None:
            middle, radius = self._centred(x, off)
            return middle, self._f.plus(self._f.times(radius, float(np.sign(factor))), self._f.array(added))
        added = added.reshape(-1) if len(op.y_shape()) > 2 else added
        size = np.zeros(()) if array is None else np.abs(np.asarray(array, np.float64))
        if self._arithmetic.narrow:  # even where nothing is added to it
            size = (size * off + self._arithmetic.faint * (size > 0)) * np.sign(factor)
        else:
            size = size * np.where((added == 0) & (factor == 1), 0, off * np.sign(factor))
        return self._f.stored(op, place) if given else "", self._f.array(size + added)

    def products(
        self, op: OpNode, pair: tuple[int, int], xs: Sequence[Interval | None], summed: Callable[[int], Sequence[int]]
    ) -> Interval | None:
        """|A B - C D| <= |C| s + r (|D| + s) for A in [C - r, C + r] and B in [D - s, D + s].

        `summed` tells over which axes of an input products are summed. Where one of the two holds weights that add up
        to 1, the sums lie between the smallest and the largest of what is averaged, too.
        """
        f, (a, b) = self._f, (xs[position] for position in pair)
        terms = prod(op.x_shape(pair[0])[axis] for axis in summed(pair[0]))
        if a is None or b is None or terms > MOST_TERMS or self._arithmetic.narrow:
            return None
        off = self._arithmetic.off(2 * terms)
        (c, r), (d, s) = self._centred(a, off), self._centred(b, off)
        y = f.again(op, {pair[0]: c, pair[1]: d})[0]
        one = f.again(op, {pair[0]: f.size(c), pair[1]: s})[0]
        other = f.again(op, {pair[0]: r, pair[1]: f.plus(f.size(d), s)})[0]
        q = f.plus(f.plus(f.size(one), f.size(other)), f.number(8 * TINIEST * terms))
        low, high = f.minus(y, q), f.plus(y, q)
        for weights, values, x in ((*pair, b), (*pair[::-1], a)):
            axes = summed(weights)
            if op.averages and len(axes) == 1 and op.averages[weights] == axes[0]:
                least, most = self._averages(op, weights, values, x, summed(values)[0], off)
                low, high = f.largest(low, least), f.smallest(high, most)
        return Interval(low, high, terms=terms)

    def _averages(self, op: OpNode, weights: int, values: int, x: Interval, axis: int, off: float) -> tuple[str, str]:
        """What all averages along an axis of these values lie between: the operator itself, with equal weights."""
        f, shape = self._f, op.x_shape(weights)
        equal = f.array(np.full(shape, 1 / op.x_shape(values)[axis]))
        ends = [
            f.reduced(end, axis, op.x_shape(values), least=least) for end, least in ((x.low, True), (x.high, False))
        ]
        one, other = (f.again(op, {weights: equal, values: end})[0] for end in ends)
        low, high = f.smallest(one, other), f.largest(one, other)  # a factor may be below 0
        away = f.times(f.largest(f.size(low), f.size(high)), off + _SUMS_TO_ONE)
        return f.minus(low, away), f.plus(high, away)

    def _centred(self, x: Interval, off: float) -> tuple[str, str]:
        """Middle and radius; the radius is wider by this share of the largest magnitude."""
        f = self._f
        if not x.wild:
            middle = f.times(f.plus(x.low, x.high), 0.5)
            if x.floor >= 0:
                return middle, f.minus(f.times(x.high, 1 + off), middle)
            return middle, f.plus(f.minus(x.high, middle), f.times(f.magnitude(x), off))
        low, high = f.times(x.low, 0.5), f.times(x.high, 0.5)  # no radius beyond the largest number: weights may be 0
        radius = f.plus(f.minus(high, low), f.times(f.magnitude(x), off))
        return f.plus(low, high), f.smallest(radius, f.number(LARGEST))
