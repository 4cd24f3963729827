"""Rows that are carried back wrongly, which the law of rows finds out: a padding, a sign, a factor, a place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analyzer.ops import conv, pool
from analyzer.ops.gemm import Gemm
from analyzer.ops.operator import Operator
from analyzer.ops.pool import AveragePool
from analyzer.ops.pull_back import Tape, window_of
from tests.laws.laws import Fault, Patch
from tests.laws.linear_laws import rows_are_transposed


def _no_padding(module: Any) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        def shifted(*given: Any) -> Any:
            window = window_of(*given)
            if window is None or not any(window.begins):
                return window
            return replace(window, begins=window.ends, ends=window.begins)

        monkeypatch.setattr(module, "window_of", shifted)

    patch.__name__ = f"padding_of_{module.__name__.rsplit('.', 1)[-1]}_at_the_other_end"
    return patch


def _all_windows_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def transposed(self: AveragePool, node: Any, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        return self._through_windows(node, tape, rows, largest=False)

    monkeypatch.setattr(AveragePool, "transposed", transposed)


def _negative(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Operator.transposed

    def transposed(self: Operator, node: Any, position: int, tape: Tape, *given: Any) -> str | None:
        back = honest(self, node, position, tape, *given)
        return None if back is None else tape.add("Abs", back)

    monkeypatch.setattr(Operator, "transposed", transposed)


def _factor_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gemm, "scale", lambda self, node: 1.0)


FAULTS: list[Fault] = [
    (_no_padding(conv), "Conv", rows_are_transposed),
    (_no_padding(conv), "ConvTranspose", rows_are_transposed),
    (_no_padding(pool), "AveragePool", rows_are_transposed),
    (_all_windows_alike, "AveragePool", rows_are_transposed),
    *((_negative, name, rows_are_transposed) for name in ("Sub", "Concat", "BatchNormalization", "Slice", "Pad")),
    (_factor_forgotten, "Gemm", rows_are_transposed),
]
