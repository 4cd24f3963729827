"""Wrong descriptions of sums, factors and movements: each breaks a law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.ops import (
    concat,
    conv,
    conv_transpose,
    fused_attention,
    gemm,
    move,
    norm,
    quantised_sums,
    quantize_linear,
)
from analyzer.ops.affine import Summand
from tests.laws import description_laws, laws


def _rows_of_a_transposed_kernel_as_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(self: Any, node: Any) -> Any:
        kernel = self.kernel(node)
        return kernel.reshape(*kernel.shape[:2], -1)

    monkeypatch.setattr(conv_transpose.ConvTransposeRule, "rows", rows)


def _gemm_forgets_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm.Gemm, "scale", lambda self, node: 1.0)


def _bias_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm.Gemm, "added", lambda self, node, length: np.zeros(length))


def _zero_points_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised_sums, "stands_for", lambda q, scale, zero, axis=0: q)


def _padding_absorbs(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = conv.ConvRule.weighted_sum
    monkeypatch.setattr(conv.ConvRule, "weighted_sum", lambda self, node: replace(honest(self, node), absorbs=True))


def _zero_point_added(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = quantize_linear.Linear.affine

    def wrong(self: Any, node: Any) -> Any:
        found = honest(self, node)
        return replace(found, shift=-found.shift)

    monkeypatch.setattr(quantize_linear.Linear, "affine", wrong)


def _keys_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = fused_attention.ProjectedAttention.averaged_sum

    def averaged_sum(self: Any, node: Any) -> Any:
        total = honest(self, node)
        keys = np.asarray(node.static(1))[:, : len(total.rows) if total else 0]
        return total and replace(total, dequantised=lambda: keys.T[..., np.newaxis])

    monkeypatch.setattr(fused_attention.ProjectedAttention, "averaged_sum", averaged_sum)


def _mean_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.BatchNorm, "summand", lambda self, node, position: Summand(3, per_unit=True))


def _fillings_come_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = move.MoveRule.places

    def places(self: Any, node: Any, position: int, axis: int, output: int = 0) -> Any:
        found = honest(self, node, position, axis, output)
        return None if found is None else np.maximum(found, 0)

    monkeypatch.setattr(move.MoveRule, "places", places)


def _parts_out_of_step(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = concat.ConcatRule.places

    def places(self: Any, node: Any, position: int, axis: int, output: int = 0) -> Any:
        found = honest(self, node, position, axis, output)
        return None if found is None else np.roll(found, 1, axis)

    monkeypatch.setattr(concat.ConcatRule, "places", places)


FAULTS: list[laws.Fault] = [
    (_rows_of_a_transposed_kernel_as_stored, "ConvTranspose", description_laws.weighted_sums_are_their_rows),
    (_gemm_forgets_alpha, "Gemm", description_laws.weighted_sums_are_their_rows),
    (_bias_is_forgotten, "Gemm", description_laws.weighted_sums_are_their_rows),
    (_zero_points_are_forgotten, "MatMulInteger", description_laws.weighted_sums_are_their_rows),
    (_padding_absorbs, "Conv", description_laws.weighted_sums_are_their_rows),
    (_zero_point_added, "DequantizeLinear", description_laws.affine_maps_are_their_factors),
    (_keys_are_averaged, "com.microsoft:Attention", description_laws.averages_lie_among_their_sums),
    (_mean_is_added, "BatchNormalization", description_laws.summands_count_in_the_operand_that_takes_them),
    (_fillings_come_from_the_first, "Pad", description_laws.elements_come_from_their_places),
    (_parts_out_of_step, "Concat", description_laws.elements_come_from_their_places),
]
