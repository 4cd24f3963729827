"""Wrong rules for what is quantised while the model runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analyzer.ops.contraction import Contraction
from analyzer.ops.dynamic_lstm import DynamicLSTM
from analyzer.ops.dynamic_sums import DynamicProduct, IntegersToFloat
from analyzer.ops.quantised_sums import IntegerProduct
from analyzer.ops.recurrent import LSTM
from tests.laws import laws, sample_laws, shrink_laws


def _scales_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntegersToFloat, "operand", IntegerProduct.operand)


def _bias_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntegersToFloat, "with_bias", lambda self, node, xs, total: total)


def _range_of_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DynamicProduct, "needs", Contraction.needs)


def _every_row_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DynamicProduct, "axes", IntegersToFloat.axes)


def _range_of_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DynamicLSTM, "matter", LSTM.matter)


def _nothing_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = DynamicLSTM.weights

    def weights(self: Any, node: Any) -> Any:
        found = honest(self, node)
        return replace(found, w_bias=0 * found.w_bias, r_bias=0 * found.r_bias)

    monkeypatch.setattr(DynamicLSTM, "weights", weights)


def _hidden_size_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = DynamicLSTM.shrink
    monkeypatch.setattr(DynamicLSTM, "shrink", lambda self, node, cut: replace(honest(self, node, cut), attributes={}))


FAULTS: list[laws.Fault] = [
    (_scales_are_one, "MatMulIntegerToFloat", laws.constants_are_constant),
    (_bias_forgotten, "MatMulIntegerToFloat", laws.constants_are_constant),
    (_bias_forgotten, "DynamicQuantizeMatMul", laws.constants_are_constant),
    (_range_of_what_is_read, "DynamicQuantizeMatMul", laws.unneeded_inputs_change_nothing),
    (_every_row_by_itself, "DynamicQuantizeMatMul", sample_laws.samples_stay_apart),
    (_range_of_what_is_heard, "DynamicQuantizeLSTM", shrink_laws.shrunk_nodes_agree),
    (_nothing_is_added, "DynamicQuantizeLSTM", laws.constants_are_constant),
    (_hidden_size_stays, "DynamicQuantizeLSTM", shrink_laws.shrunk_nodes_agree),
]
