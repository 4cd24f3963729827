"""Clip and its fused forms: X [*shape] between two bounds, flat at both.

The bounds are attributes before opset 11 and inputs from 11 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.facts.units import Kind
from analyzer.ops.axes import Axes
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Activation, Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY
from analyzer.ops.trend import Trend


class ClipRule(Operator):
    """Same-unit, with stored scalar bounds."""

    same_unit = True

    def unsupported(self, node: OpNode) -> str | None:
        dynamic = any(node.has(i) and node.static(i) is None for i in (1, 2))
        return "bounds computed at run time" if dynamic else None

    axes = Axes("X: *a -> Y: *a")

    def bounds(self, node: OpNode) -> tuple[float, float]:
        """Lower and upper bound; infinite where there is none."""
        found = []
        for position, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
            array = node.static(position)
            found.append(float(np.ravel(array)[0]) if array is not None else float(node.attr(name, default)))
        return found[0], found[1]

    def activation(self, node: OpNode) -> Activation | None:
        low, high = (None if abs(bound) > 1e30 else bound for bound in self.bounds(node))
        return Activation(Kind.RECTIFIER, low, high, passes=True)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        low, high = self.bounds(node)
        value = np.minimum(np.maximum(xs[0].number, low), high)
        if low >= high:
            return [Constants(pattern.uniform(xs[0].rank, True), np.full((1,) * xs[0].rank, high))]
        return [Constants(xs[0].known, np.where(xs[0].known, value, 0.0))]

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        low, high = self.bounds(node)
        lowest = float(np.minimum(np.maximum(low, -np.inf if xs[0] is None else xs[0]), high))  # NaN stays NaN
        return lowest if np.isfinite(lowest) else None

    def trend(self, node: OpNode) -> Trend | None:
        low, high = self.bounds(node)
        bends = tuple(end for end in (low, high) if np.isfinite(end))
        return Trend(low=low, high=high, bends=bends, steepest=1.0) if low <= high else None

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        return [ys[0], *(pattern.uniform(x.rank, True) for x in xs[1:])]


register(ClipRule(), "Clip", traits=replace(CONTINUOUS, carries_nan=(0,), exact_in=EVERY))
