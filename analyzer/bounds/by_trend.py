"""Intervals of operators that say how their outputs rise, fall and turn: the operator itself, run at the ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from analyzer.bounds.arithmetic import LARGEST, Arithmetic, rounded_down, rounded_up
from analyzer.bounds.formulas import Formulas, Interval
from analyzer.ops.node import OpNode
from analyzer.ops.trend import Ends, Trend

Known = Mapping[int, Interval]
Pair = tuple[str, str]
TWICE = 2  # what is off at the end that is computed, and at the value that is bounded by it


class ByTrend:
    """Appends the intervals of one call; `known` are those of its computed inputs."""

    def __init__(self, formulas: Formulas, arithmetic: Arithmetic, op: OpNode, trend: Trend) -> None:
        self._f, self._arithmetic, self._op, self._trend = formulas, arithmetic, op, trend
        place = trend.spelled
        self._spelled = {} if place is None else {place: formulas.lengths(op.y_shape())}

    def intervals(self, known: Known) -> list[Interval]:
        """One per output of the operator."""
        return [self._anchored(self._widened(pair, known), known) for pair in self._pairs(self._kept_within(known))]

    def _run(self, inputs: Mapping[int, str]) -> tuple[str, ...]:
        return self._f.again(self._op, {**self._spelled, **inputs})

    def _kept_within(self, known: Known) -> Known:
        """Ends at which the result is no number are none that a run passes."""
        low, high = self._trend.within
        if np.isinf([low, high]).all():
            return known
        x, f = known[0], self._f
        least, most = f.number(low), f.number(high)
        kept = replace(
            x, low=f.smallest(f.largest(x.low, least), most), high=f.smallest(f.largest(x.high, least), most)
        )
        return {**known, 0: replace(kept, floor=max(x.floor, low), ceiling=min(x.ceiling, high))}

    def _pairs(self, known: Known) -> Sequence[Pair]:
        f, ends = self._f, self._trend.ends
        if ends is Ends.RISING:
            falls = self._trend.falls
            lows = self._run({p: x.high if p in falls else x.low for p, x in known.items()})
            highs = self._run({p: x.low if p in falls else x.high for p, x in known.items()})
            return list(zip(lows, highs, strict=True))
        if ends is Ends.CHOICE:
            parts = [(known[p].low, known[p].high) if p in known else (f.stored(self._op, p),) * 2
                     for p in self._trend.choices]  # fmt: skip
            shape = self._op.y_shape()  # which the choices may be repeated to
            return [(f.spread(f.smallest(*(low for low, _ in parts)), shape),
                     f.spread(f.largest(*(high for _, high in parts)), shape))]  # fmt: skip
        first = known[min(known)]
        if ends is Ends.EVEN:  # of one value, which may stand at several inputs
            nearest, farthest = f.nearest(first, 0.0), f.magnitude(first)
            return [(self._run(dict.fromkeys(known, nearest))[0], self._run(dict.fromkeys(known, farthest))[0])]
        if ends is Ends.TURNING:
            places = [first.low, first.high, *(f.nearest(first, turn) for turn in self._trend.turns)]
            values = [self._run({min(known): place})[0] for place in places]
        else:
            corners = product(*([(p, x.low), (p, x.high)] for p, x in known.items()))
            values = [self._run(dict(corner))[0] for corner in corners]
        low, high = f.smallest(*values), f.largest(*values)
        divisor = known.get(self._trend.divisor) if self._trend.divisor is not None else None
        return [(low, high) if divisor is None else self._divided(divisor, low, high)]

    def _divided(self, divisor: Interval, low: str, high: str) -> Pair:
        """Bounded where the divisor has one sign."""
        f, zero = self._f, self._f.number(0.0)
        below = f.where(f.less(divisor.high, zero), low, f.number(-np.inf))
        above = f.where(f.less(divisor.high, zero), high, f.number(np.inf))
        positive = f.less(zero, divisor.low)
        return f.where(positive, low, below), f.where(positive, high, above)

    def _widened(self, pair: Pair, known: Known) -> Pair:
        """By what onnxruntime may be off, at the ends and in between."""
        f, trend = self._f, self._trend
        away = [f.number(TWICE * trend.absolute)] if trend.absolute else []
        if trend.scaled:
            away.append(f.times(f.magnitude(known[min(known)]), TWICE * trend.scaled))
        share, off = TWICE * trend.relative, self._arithmetic.off(trend.terms) if trend.terms else 0.0
        if off and all(x.floor >= 0 for x in known.values()):
            share += off  # the sum itself is that of the magnitudes
        elif off:
            largest = self._run({p: f.magnitude(x) for p, x in known.items()})[0]
            away.append(f.times(f.size(largest), off))  # what is put outside may be below 0
        if off and self._arithmetic.narrow:
            away.append(f.number(TWICE * self._arithmetic.faint))
        low, high = pair
        if share:
            low, high = f.minus(low, f.times(f.size(low), share)), f.plus(high, f.times(f.size(high), share))
        for part in away:
            low, high = f.minus(low, part), f.plus(high, part)
        return low, high

    def _anchored(self, pair: Pair, known: Known) -> Interval:
        """Between the numbers that nothing passes, whatever is fed."""
        f, trend, (low, high) = self._f, self._trend, pair
        anchors = [np.asarray(end, np.float64) for end in (trend.low, trend.high)]
        if (anchors[0] > -LARGEST).any():
            low = f.largest(low, f.array(rounded_down(anchors[0])))
        if (anchors[1] < LARGEST).any():
            high = f.smallest(high, f.array(rounded_up(anchors[1])))
        floor, ceiling = float(anchors[0].min()), float(anchors[1].max())
        if trend.selects:
            floor = max(floor, min(x.floor for x in known.values()))
            ceiling = min(ceiling, max(x.ceiling for x in known.values()))
        terms = max((x.terms for x in known.values()), default=0) if trend.exact else 0
        return Interval(low, high, floor, ceiling, terms, wild=any(x.wild for x in known.values()))
