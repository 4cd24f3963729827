"""Wrong constants, needs and letters of the float operators: each breaks a law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.ops import binary, concat, conv, gemm, move, movements, norm, pad, pool, reduce, unary
from analyzer.ops.move import Reshape
from analyzer.ops.product_letters import Letters
from tests.laws import description_laws, laws, shrink_laws


def _conv_ignores_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv.ConvRule, "flat_border", lambda self, node: True)


def _zero_kernel_by_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv.ConvRule, "reads", lambda self, node: np.abs(self.sums(node)) > 1e-5)


def _product_ignores_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        # whatever is multiplied by a constant is taken to be unneeded
        known = [binary.lift(x, len(node.y_shape())).known for x in xs]
        return [pattern.any_to(ys[0] & ~known[i - 1], s) for i, s in enumerate(node.in_shapes)]

    monkeypatch.setattr(binary.Aligned, "needs", needs)


def _concat_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = concat.ConcatRule.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        (found,) = honest(self, node, xs)
        axis = self.axis(node)
        return [Constants(np.roll(found.known, 1, axis), np.roll(found.value, 1, axis))]

    monkeypatch.setattr(concat.ConcatRule, "constants", constants)


def _average_of_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.AveragePool, "keeps_constant", lambda self, node: True)


def _batch_norm_of_gain_zero_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = norm.BatchNorm.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        (found,) = honest(self, node, xs)
        gain = pattern.on_axis(xs[1].number, 1, xs[0].rank)
        return [Constants(found.known, np.where(gain == 0, 0.0, found.value))]

    monkeypatch.setattr(norm.BatchNorm, "constants", constants)


def _reshape_in_wrong_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Reshape, p: Any, fill: object = None) -> Any:
        wide = np.broadcast_to(p, self.source)
        return wide.reshape(self.source, order="F").reshape(self.target, order="F")

    monkeypatch.setattr(Reshape, "forward", forward)


def _no_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv.ConvRule, "carry", lambda self, node, keeps, ys, xs, yc: [])


def _layer_norm_elementwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Normalised, "constants", unary.Unary.constants)
    monkeypatch.setattr(norm.Normalised, "function", staticmethod(lambda x, node: x), raising=False)


def _layer_norm_needs_elementwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Normalised, "needs", unary.Unary.needs)


def _layer_norm_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Normalised, "normalised", lambda self, node: [len(node.x_shape()) - 1])


def _gemm_transposed_the_wrong_way(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = gemm.Gemm.letters

    def letters(self: Any, node: Any) -> Any:
        found = honest(self, node)
        square = len(set(node.x_shape(1))) == 1
        return Letters(found.a, found.b[::-1] if square else found.b, found.y)

    monkeypatch.setattr(gemm.Gemm, "letters", letters)


def _slice_counts_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = movements.slice_indices

    def shifted(node: Any) -> Any:
        found = honest(node)
        return found and {a: (i + 1) % node.x_shape()[a] for a, i in found.items()}

    monkeypatch.setattr(movements, "slice_indices", shifted)


def _softplus_of_zero_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        unary.ACTIVATIONS["Softplus"][0], "__code__", (lambda x, n: np.maximum(x, 0)).__code__, raising=False
    )


def _logarithms_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Softmax, "sums_to_one", lambda self, node: self.normalised(node)[0])


def _computed_borders_hold_what_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pad.PadRule, "constants", move.MoveRule.constants)


def _computed_amounts_leave_the_first_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = pad.PadRule.unsteady
    monkeypatch.setattr(pad.PadRule, "unsteady", lambda self, node: honest(self, node)[1:])


def _whole_means_keep_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = reduce.ReduceRule.constants

    def constants(self: Any, node: Any, xs: Any) -> Any:
        floats = type("Floats", (), {"__getattr__": lambda s, name: getattr(node, name), "x_dtype": "float32"})()
        return honest(self, floats, xs)

    monkeypatch.setattr(reduce.ReduceRule, "constants", constants)


FAULTS: list[laws.Fault] = [
    (_whole_means_keep_fractions, "ReduceMean", laws.constants_are_constant),
    (_computed_borders_hold_what_is_inside, "Pad", laws.constants_are_constant),
    (_computed_amounts_leave_the_first_axis, "Pad", laws.letters_fit),
    (_logarithms_add_up, "LogSoftmax", description_laws.entries_add_up_to_one),
    (_conv_ignores_padding, "Conv", laws.constants_are_constant),
    (_zero_kernel_by_sum, "Conv", laws.constants_are_constant),
    (_zero_kernel_by_sum, "Conv", laws.unneeded_inputs_change_nothing),
    (_product_ignores_zeros, "Mul", laws.unneeded_inputs_change_nothing),
    (_concat_off_by_one, "Concat", laws.constants_are_constant),
    (_average_of_padding, "AveragePool", laws.constants_are_constant),
    (_batch_norm_of_gain_zero_is_zero, "BatchNormalization", laws.constants_are_constant),
    (_reshape_in_wrong_groups, "Reshape", laws.constants_are_constant),
    (_no_carrier, "Conv", shrink_laws.carriers_are_enough),
    (_no_carrier, "Conv", shrink_laws.shrunk_nodes_agree),
    (_layer_norm_elementwise, "LayerNormalization", laws.constants_are_constant),
    (_layer_norm_needs_elementwise, "LayerNormalization", laws.unneeded_inputs_change_nothing),
    (_layer_norm_cut, "LayerNormalization", laws.cut_nodes_agree),
    (_gemm_transposed_the_wrong_way, "Gemm", laws.constants_are_constant),
    (_slice_counts_from_one, "Slice", laws.constants_are_constant),
    (_softplus_of_zero_is_zero, "Softplus", laws.constants_are_constant),
]
