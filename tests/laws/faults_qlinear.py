"""The laws see what can go wrong with integers: halves, zero points, saturation, layouts, triples of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.ops import qlinear, quantised_sums, quantize_linear
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.pool import AveragePool, Spatial
from tests.laws import description_laws, laws, shrink_laws


def _halves_are_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qlinear, "_DOUBT", 0.0)


def _zero_points_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = qlinear.QLinear.step
    monkeypatch.setattr(qlinear.QLinear, "step", lambda self, node, position: (honest(self, node, position)[0], 0))


def _nothing_saturates(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(steps: Any, zero: int, limits: Any, size: float) -> Any:
        return np.ones(np.shape(steps), np.bool_), np.rint(steps) + zero

    monkeypatch.setattr(qlinear, "settled", settled)


def _parts_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def constants(self: qlinear.QLinear, node: Any, xs: Sequence[Constants]) -> list[Constants]:
        return self.rule.constants(self.plain(node), [xs[p] for p in self.values(node)])

    monkeypatch.setattr(qlinear.QLinearConcat, "constants", constants)


def _a_part_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def shrink(self: qlinear.QLinear, node: Any, cut: Any) -> Any:
        edit = self.rule.shrink(self.plain(node), cut)
        edit.drop_inputs = tuple(self.values(node)[p] for p in edit.drop_inputs)
        return edit

    monkeypatch.setattr(qlinear.QLinearConcat, "shrink", shrink)


def _channels_always_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qlinear._EitherLayout, "free_axes", Spatial.free_axes)


def _padding_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AveragePool, "keeps_constant", lambda self, node: True)


def _a_factor_at_integer_zero_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: qlinear.QLinear, node: Any, ys: Any, xs: Sequence[Constants], yc: Any) -> Any:
        result = [pattern.uniform(len(s), True) for s in node.in_shapes]
        asked = self.rule.needs(self.plain(node), ys, [xs[p] for p in self.values(node)], yc)
        for position, mask in zip(self.values(node), asked, strict=True):
            result[position] = mask
        return result

    monkeypatch.setattr(qlinear.QLinear, "needs", needs)


def _one_column_speaks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums, "_along", lambda parameter, axis, rank: float(np.ravel(parameter)[0]))


def _columns_stay_in_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums.IntegerProduct, "per_output", Contraction.per_output)
    monkeypatch.setattr(quantised_sums.RequantisedProduct, "per_output", Contraction.per_output)


def _constants_keep_their_zero_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums, "off_zero", lambda x, zero, axis=0: x)


def _padding_is_the_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums.QLinearConv, "flat_border", lambda self, node: True)


def _nothing_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums, "may_wrap", lambda products, bias: False)


def _a_bias_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums.QLinearConv, "bias_dtype", ConvRule.bias_dtype)


def _a_bias_gives_any_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums.QGemm, "fillable", Contraction.fillable)


def _zeros_lie_at_any_zero_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums, "at_computed", lambda x, zero: x)


def _everything_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    exactly = Constants.exactly
    monkeypatch.setattr(quantised_sums, "at_computed", lambda x, zero: exactly(np.zeros((1,) * x.rank)))


def _everything_lies_at_the_zero_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def constants(self: Any, node: Any, xs: Sequence[Constants]) -> list[Constants]:
        everything = np.ones((1,) * xs[0].rank)
        claim = Constants(everything < 0, everything, Multiples(node.outputs[2], everything > 0, everything))
        return [claim, Constants.unknown(0), Constants.unknown(0)]

    monkeypatch.setattr(quantize_linear.Dynamic, "constants", constants)


def _constants_leave_the_range_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: Any, node: Any, ys: Any, xs: Sequence[Constants], yc: Any) -> Any:
        return [~xs[0].known & any(mask.any() for mask in ys)]

    monkeypatch.setattr(quantize_linear.Dynamic, "needs", needs)


def _only_what_is_asked_for_sets_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize_linear.Dynamic, "needs", lambda self, node, ys, xs, yc: [ys[0] & ~xs[0].zero])


FAULTS: list[laws.Fault] = [
    (_halves_are_certain, "QLinearAdd", laws.constants_are_constant),
    (_zero_points_ignored, "QLinearSigmoid", laws.constants_are_constant),
    (_zero_points_ignored, "QLinearMul", laws.constants_are_constant),
    (_nothing_saturates, "QLinearGlobalAveragePool", laws.constants_are_constant),
    (_nothing_saturates, "QLinearWhere", laws.constants_are_constant),
    (_parts_are_copied, "QLinearConcat", laws.constants_are_constant),
    (_a_part_goes_alone, "QLinearConcat", shrink_laws.shrunk_nodes_agree),
    (_channels_always_first, "QLinearAveragePool", laws.cut_nodes_agree),
    (_padding_is_not_counted, "QLinearAveragePool", laws.constants_are_constant),
    (_a_factor_at_integer_zero_is_zero, "QLinearMul", laws.unneeded_inputs_change_nothing),
    (_one_column_speaks_for_all, "QGemm", description_laws.weighted_sums_are_their_rows),
    (_one_column_speaks_for_all, "MatMulInteger", laws.constants_are_constant),
    (_columns_stay_in_parameters, "QLinearMatMul", laws.cut_nodes_agree),
    (_zeros_lie_at_any_zero_point, "MatMulInteger", laws.constants_are_constant),
    (_everything_adds_nothing, "ConvInteger", laws.constants_are_constant),
    (_everything_lies_at_the_zero_point, "DynamicQuantizeLinear", laws.multiples_share_a_map),
    (_constants_leave_the_range_as_it_is, "DynamicQuantizeLinear", shrink_laws.shrunk_nodes_agree),
    (_only_what_is_asked_for_sets_the_scale, "DynamicQuantizeLinear", laws.unneeded_inputs_change_nothing),
    (_constants_keep_their_zero_point, "QLinearConv", shrink_laws.shrunk_nodes_agree),
    (_padding_is_the_constant, "QLinearConv", shrink_laws.shrunk_nodes_agree),
    (_nothing_wraps, "QLinearConv", laws.constants_are_constant),
    (_a_bias_of_bytes, "QLinearConv", shrink_laws.shrunk_nodes_agree),
    (_constants_keep_their_zero_point, "QGemm", shrink_laws.shrunk_nodes_agree),
    (_a_bias_gives_any_output, "QGemm", shrink_laws.shrunk_nodes_agree),
]
