"""Wrong bounds that the law of bounds finds out: a sign, a padding, a turn, a rounding that is forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.pattern import Array, Shape
from analyzer.bounds import lines
from analyzer.bounds.arithmetic import Arithmetic
from analyzer.bounds.by_trend import ByTrend
from analyzer.bounds.differences import DifferenceGraph
from analyzer.bounds.formulas import Formulas, Interval
from analyzer.bounds.sums import Sums
from analyzer.ops import turning
from analyzer.ops.binary import PReluRule, WhereRule
from analyzer.ops.context import Call
from analyzer.ops.node import OpNode
from analyzer.ops.norm import LayerNorm, Softmax, root_of_length
from analyzer.ops.pool import MaximumPool
from analyzer.ops.pull_back import Window
from analyzer.ops.trend import EXACT, WITHIN_ONE, Curvature, Ends, Trend
from analyzer.ops.weighted_sum import WeightedSum
from tests.laws.bound_laws import bounds_hold
from tests.laws.difference_laws import differences_hold
from tests.laws.laws import Fault, Patch
from tests.laws.linear_laws import lines_lie_around


def _trend_of(rule: type[Any], trend: Trend) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rule, "trend", lambda self, node: trend)

    patch.__name__ = f"{rule.__name__}_as_{trend.ends.name.lower()}_from_{trend.low}"
    return patch


def _function(name: str, trend: Trend, what: str) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(turning._TRENDS, name, trend)

    patch.__name__ = f"{name}_{what}"
    return patch


def _roundings_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arithmetic, "off", lambda self, terms: 0.0)


def _negative_weights_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sums, "_sizes", lambda self, weight, *_: self._f.array(weight))


def _all_data_is_above_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Sums._one_sided

    def one_sided(self: Sums, op: OpNode, total: WeightedSum, data: Interval, x: Interval) -> Interval:
        return honest(self, op, total, replace(data, floor=0.0), x)

    monkeypatch.setattr(Sums, "_one_sided", one_sided)


def _padding_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Formulas.again

    def again(self: Formulas, op: OpNode, inputs: Mapping[int, str]) -> tuple[str, ...]:
        kept = {name: value for name, value in op.node.attributes.items() if name != "count_include_pad"}
        return honest(self, replace(op, node=replace(op.node, attributes=kept)), inputs)

    monkeypatch.setattr(Formulas, "again", again)


def _divisors_through_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ByTrend, "_divided", lambda self, divisor, low, high: (low, high))


def _variances_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayerNorm, "trend", lambda self, node: root_of_length(node, node.x_shape()[-1]))


def _signs_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DifferenceGraph._found

    def found(self: DifferenceGraph, call: Call, moved: Mapping[int, str]) -> Sequence[str | None]:
        total = call.rule.weighted_sum(call.op)
        if total is None:
            return honest(self, call, moved)
        return [self._f.size(self._f.again(call.op, {**moved, **_no_bias(self, call.op, total.bias)})[0])]

    monkeypatch.setattr(DifferenceGraph, "_found", found)


def _no_bias(graph: DifferenceGraph, op: OpNode, bias: int | None) -> dict[int, str]:
    return {bias: graph._f.array(np.zeros(op.x_shape(bias)))} if bias is not None and op.has(bias) else {}


def _curves_are_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Curvature, "away", lambda self, low, high: np.zeros(np.shape(low)))


def _less(name: str, **changed: Any) -> Patch:
    patch = _function(name, replace(turning._TRENDS[name], **changed), f"with_other_{'_'.join(changed)}")
    return patch


def _padding_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lines.seen_by

    def seen_by(window: Window, array: Array, shape: Shape) -> Array:
        seen = honest(window, array, shape)
        return np.where(np.isfinite(seen), seen, 0)

    monkeypatch.setattr(lines, "seen_by", seen_by)


def _windows_start_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lines.seen_by

    def seen_by(window: Window, array: Array, shape: Shape) -> Array:
        return honest(replace(window, begins=window.ends, ends=window.begins), array, shape)

    monkeypatch.setattr(lines, "seen_by", seen_by)


def _the_first_is_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "lines_of_largest", _by_first)
    monkeypatch.setattr("analyzer.bounds.region.lines_of_largest", _by_first)


def _by_first(window: Window, low: Array, high: Array, shape: Shape) -> lines.Lines:
    taps = np.zeros((shape[0], shape[1], prod(window.kernel), *shape[2:]), np.float32)
    taps[:, :, 0] = 1
    slopes = taps.reshape(shape[0], -1, *shape[2:])
    return lines.Lines(slopes, slopes, np.zeros(shape), np.zeros(shape))


ONE = Trend(low=-1.0, high=1.0)
FAULTS: list[Fault] = [
    (_function("Neg", EXACT, "rises"), "Neg", bounds_hold),
    (_function("Gelu", Trend(absolute=1e-5), "never_turns"), "Gelu", bounds_hold),
    (_function("Abs", EXACT, "rises"), "Abs", bounds_hold),
    (_function("Tanh", ONE, "ends_at_one"), "Tanh", bounds_hold),
    (_trend_of(MaximumPool, Trend(low=0.0)), "MaxPool", bounds_hold),  # as if padded with 0
    (_padding_not_counted, "AveragePool", bounds_hold),
    (_trend_of(PReluRule, EXACT), "PRelu", bounds_hold),
    (_trend_of(LayerNorm, EXACT), "LayerNormalization", bounds_hold),
    (_trend_of(Softmax, EXACT), "Softmax", bounds_hold),
    (_trend_of(WhereRule, Trend(Ends.CHOICE, choices=(1,))), "Where", bounds_hold),
    (_variances_are_exact, "LayerNormalization", bounds_hold),
    (_divisors_through_zero, "Div", bounds_hold),
    (_divisors_through_zero, "Reciprocal", bounds_hold),
    *((_all_data_is_above_zero, name, bounds_hold) for name in ("Conv", "Gemm")),
    (_negative_weights_narrow, "Conv", bounds_hold),
    (_negative_weights_narrow, "MatMul", bounds_hold),
    (_function("Relu", Trend(low=0.0, steepest=0.5), "half_as_steep"), "Relu", differences_hold),
    (_function("Tanh", replace(WITHIN_ONE, steepest=0.9), "less_steep"), "Tanh", differences_hold),
    (_trend_of(MaximumPool, Trend(selects=True, steepest=0.5)), "MaxPool", differences_hold),
    (_trend_of(Softmax, replace(WITHIN_ONE, steepest=0.2)), "Softmax", differences_hold),
    *((_curves_are_straight, name, lines_lie_around) for name in ("Tanh", "Gelu", "HardSwish", "Elu")),
    (_less("Sigmoid", curvature=Curvature(0.03, 8.0, 3.4e-4)), "Sigmoid", lines_lie_around),
    (_less("Relu", bends=()), "Relu", lines_lie_around),
    (_padding_is_zero, "MaxPool", lines_lie_around),
    (_windows_start_inside, "MaxPool", lines_lie_around),
    (_the_first_is_largest, "MaxPool", lines_lie_around),
    (_signs_kept, "Conv", differences_hold),
    (_signs_kept, "Gemm", differences_hold),
    *((_roundings_forgotten, name, bounds_hold) for name in ("Conv", "MatMul", "Gemm", "BatchNormalization")),
]
