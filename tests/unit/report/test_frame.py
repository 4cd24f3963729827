"""One row per unit for pandas users."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace
from typing import Any

import pytest

from analyzer.errors import InputError
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.facts.statistics import UnitStatistics
from analyzer.report.frame import COLUMNS, to_frame
from tests.made import by_weights, facts, layer, relu, seen


def test_there_is_one_row_per_unit() -> None:
    frame = to_frame(facts())
    assert len(frame) == 64 + 32
    assert tuple(frame.columns) == COLUMNS
    assert (frame["verdict"] == "dead").sum() == 63


def test_the_module_stands_beside_the_value() -> None:
    frame = to_frame(facts([layer(relu(2, "relu_3", "net.act"), seen([0, 0], [0, 1])), layer(relu(1), seen([0], [1]))]))
    assert frame["module"].tolist() == ["net.act", "net.act", ""]


def test_a_dead_unit_shows_its_constant_and_its_evidence() -> None:
    made = by_weights(layer(relu(3), seen([0, 6, 0], [0, 6, 5])), 1)
    frame = to_frame(facts([made]))
    assert frame["constant"].tolist()[:2] == [0.0, 6.0]
    assert frame["evidence"].tolist() == ["observed", "structural", "observed"]
    assert frame["constant"].isna().tolist() == [False, False, True]


def test_units_that_were_not_run_are_unseen() -> None:
    frame = to_frame(facts([layer(relu(2), UnitStatistics.empty(2))]))
    assert frame["verdict"].tolist() == ["unseen", "unseen"]
    assert frame["maximum"].isna().all()


def test_no_layers_give_an_empty_table_with_all_columns() -> None:
    assert tuple(to_frame(replace(facts(), layers=())).columns) == COLUMNS


def test_how_much_was_judged_goes_with_the_table() -> None:
    left_out = (LeftOut("a subgraph", (OperatorCount("If", 1),), 60, 0, 1),)
    judged = to_frame(facts(judged=Judged(100, 40, 10, 10, 2, 1, left_out=left_out))).attrs["judged"]
    assert (judged["multiply_adds_share"], judged["parameters_share"], judged["activations_judged"]) == (0.4, 1, 1)


def test_a_missing_pandas_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(InputError, match=r"pip install"):
        to_frame(facts())
