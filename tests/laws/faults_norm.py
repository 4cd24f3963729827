"""Wrong normalisations over groups and over fewer channels: each breaks a law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.constants import Constants
from analyzer.ops import binary, norm, reduce, rms_norm, unary
from analyzer.ops.affine import Summand
from analyzer.ops.node_edit import Edit
from tests.laws import description_laws, laws, shrink_laws


def _groups_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.GroupNorm, "shrink", lambda self, node, cut: Edit())


def _groups_are_cut_within(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = norm.GroupNorm.axes
    monkeypatch.setattr(norm.GroupNorm, "axes", lambda self, node: replace(honest(self, node), whole=frozenset()))


def _channels_are_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = norm.GroupNorm._groups
    monkeypatch.setattr(
        norm.GroupNorm, "_groups", lambda self, node: max(honest(self, node), node.x_shape()[1] * (node.version > 18))
    )


def _computed_shifts_are_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = norm.GroupNorm.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        return honest(self, node, [*xs[:2], Constants(np.ones_like(xs[2].known), xs[2].number)])

    monkeypatch.setattr(norm.GroupNorm, "constants", constants)


def _nothing_over_nothing_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        norm.LocalResponse, "constants", lambda self, node, xs: [Constants(xs[0].zero, np.zeros((1,) * xs[0].rank))]
    )


def _the_scale_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = rms_norm._narrowed
    monkeypatch.setattr(rms_norm, "_narrowed", lambda *given: replace(honest(*given), inputs={}))


def _epsilon_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = rms_norm._narrowed
    monkeypatch.setattr(rms_norm, "_narrowed", lambda *given: replace(honest(*given), attributes={}))


def _all_constants_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        first, *rest = norm.Normalised.needs(self, node, ys, xs, yc)
        return [first & ~xs[0].known if self.narrows(node) else first, *rest]

    monkeypatch.setattr(rms_norm.RootMeanSquare, "needs", needs)


def _a_sum_forgets_its_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = rms_norm.SkipNorm.total

    def total(self: Any, node: Any, xs: Any) -> Any:
        return honest(self, node.without(frozenset({self.bias})), xs)

    monkeypatch.setattr(rms_norm.SkipNorm, "total", total)


def _a_summand_counts_behind_the_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    def summand(self: Any, node: Any, position: int) -> Summand | None:
        return Summand(self.shift) if position == 0 and node.has(self.shift) else None

    monkeypatch.setattr(rms_norm.SkipNorm, "summand", summand)


def _zero_is_normalised_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = norm.GroupNorm.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        (found,) = honest(self, node, xs)
        return [replace(found, value=np.where(xs[0].zero, 0.0, found.number))]

    monkeypatch.setattr(norm.GroupNorm, "constants", constants)


def _means_count_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce.AddingRule, "shrink", lambda self, node, cut: Edit())


def _sums_lose_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = reduce.AddingRule.needs

    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        first, *rest = honest(self, node, ys, xs, yc)
        return [first & ~xs[0].known, *rest]

    monkeypatch.setattr(reduce.AddingRule, "needs", needs)


def _maxima_lose_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = reduce.ReduceRule.needs

    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        first, *rest = honest(self, node, ys, xs, yc)
        return [first & ~xs[0].zero, *rest]

    monkeypatch.setattr(reduce.ReduceRule, "loose", reduce.AddingRule.loose)
    monkeypatch.setattr(reduce.ReduceRule, "needs", needs)


def _whole_means_lose_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = reduce.AddingRule.loose
    monkeypatch.setattr(reduce.AddingRule, "loose", lambda self, node: honest(self, replace(node, x_dtype="float32")))


def _scaled(cls: Any, **other: Any) -> laws.Patch:
    """What the operators of a class say of factors, with something else in it."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        honest: Any = cls.scaling

        def scaling(self: Any, node: Any, position: int) -> Any:
            found = honest(self, node, position)
            return found and replace(found, **other)

        monkeypatch.setattr(cls, "scaling", scaling)

    patch.__name__ = "_factors_with_" + "_".join(f"{name}_{value}" for name, value in other.items())
    return patch


FAULTS: list[laws.Fault] = [
    (_means_count_fewer, "ReduceMean", shrink_laws.shrunk_nodes_agree),
    (_sums_lose_constants, "ReduceSum", shrink_laws.shrunk_nodes_agree),
    (_sums_lose_constants, "ReduceL2", shrink_laws.shrunk_nodes_agree),
    (_maxima_lose_zeros, "ReduceMax", shrink_laws.shrunk_nodes_agree),
    (_whole_means_lose_zeros, "ReduceMean", shrink_laws.shrunk_nodes_agree),
    (_scaled(unary.Unary, power=1.0), "Sqrt", description_laws.factors_count_further_on),
    (_scaled(unary.Unary, power=1.0), "Reciprocal", description_laws.factors_count_further_on),
    (_scaled(binary.Aligned, power=1.0), "Div", description_laws.factors_count_further_on),
    (_scaled(binary.Aligned, power=1.0), "Pow", description_laws.factors_count_further_on),
    (_scaled(binary.Aligned, along=None), "Add", description_laws.factors_count_further_on),
    (_scaled(binary.Aligned, along=None), "Max", description_laws.factors_count_further_on),
    (_scaled(binary.Aligned, power=-1.0), "Mul", description_laws.factors_count_further_on),
    (_groups_are_not_counted, "GroupNormalization", shrink_laws.shrunk_nodes_agree),
    (_groups_are_cut_within, "GroupNormalization", laws.cut_nodes_agree),
    (_channels_are_alone, "GroupNormalization", laws.unneeded_inputs_change_nothing),
    (_zero_is_normalised_to_zero, "GroupNormalization", laws.constants_are_constant),
    (_computed_shifts_are_zero, "GroupNormalization", laws.constants_are_constant),
    (_nothing_over_nothing_is_zero, "LRN", laws.constants_are_constant),
    (_the_scale_stays, "RMSNormalization", shrink_laws.shrunk_nodes_agree),
    (_epsilon_stays, "RMSNormalization", shrink_laws.shrunk_nodes_agree),
    (_all_constants_go, "RMSNormalization", shrink_laws.shrunk_nodes_agree),
    (_a_sum_forgets_its_bias, "SkipLayerNormalization", laws.constants_are_constant),
    (
        _a_summand_counts_behind_the_norm,
        "SkipLayerNormalization",
        description_laws.summands_count_in_the_operand_that_takes_them,
    ),
]
