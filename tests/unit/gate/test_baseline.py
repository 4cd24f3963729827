"""An audit held against an earlier one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.api.checking import read_baseline
from analyzer.errors import InputError
from analyzer.facts.audit import AuditFacts
from analyzer.facts.baseline import Baseline, baseline_of
from analyzer.gate.against_baseline import compare_baseline
from analyzer.report.audit.json import to_text
from tests.gated import healthy
from tests.made import facts, first_dead, layer, of_module, relu, reported, seen


def stored(audit: AuditFacts) -> Baseline:
    return baseline_of(json.loads(to_text(reported(audit))), "before.json")


def test_an_audit_against_itself_changed_nothing() -> None:
    found = compare_baseline(healthy(), stored(healthy()))
    assert (found.newly_dead, found.revived, found.only_now, found.only_then, found.resized) == ((), (), (), (), ())
    assert found.same_probe and found.matched == 2
    assert (found.units_then, found.dead_then) == (96, 3)


def test_units_that_died_and_came_back_are_listed() -> None:
    before = facts((layer(relu(4, "a"), seen([0] * 4, [0, 1, 1, 0])),))
    now = facts((layer(relu(4, "a"), seen([0] * 4, [1, 0, 1, 0])),))
    found = compare_baseline(now, stored(before))
    assert [(change.value, change.units) for change in found.newly_dead] == [("a", (1,))]
    assert [(change.value, change.units) for change in found.revived] == [("a", (0,))]


def test_a_unit_without_a_verdict_was_not_alive() -> None:
    before = facts((layer(relu(2, "a"), seen([0, 0], [1, 1], nonfinite=[3, 0])),))
    found = compare_baseline(facts((first_dead(2, 2, "a"),)), stored(before))
    assert [change.units for change in found.newly_dead] == [(1,)]


def test_a_baseline_without_a_probe_saw_nobody_alive() -> None:
    unseen = replace(first_dead(4, 0, "a"), samples=0)
    found = compare_baseline(facts((first_dead(4, 4, "a"),)), stored(facts((unseen,), probe=None)))
    assert found.newly_dead == () and not found.same_probe


def test_a_unit_that_was_not_looked_at_or_shows_nan_did_not_come_back() -> None:
    before = stored(facts((first_dead(2, 2, "a"),)))
    unseen = replace(first_dead(2, 0, "a"), samples=0)
    assert compare_baseline(facts((unseen,), probe=None), before).revived == ()
    broken = layer(relu(2, "a"), seen([0, 0], [1, 1], nonfinite=[3, 0]))
    assert [change.units for change in compare_baseline(facts((broken,)), before).revived] == [(1,)]


def test_audits_without_data_were_not_made_on_the_same() -> None:
    without = facts((first_dead(2, 1, "a"),), probe=None)
    assert not compare_baseline(without, stored(without)).same_probe


def test_a_renamed_layer_is_matched_by_order() -> None:
    found = compare_baseline(facts((first_dead(8, 3, "new"),)), stored(facts((first_dead(8, 2, "old"),))))
    assert found.by_order == (("new", "old"),)
    assert [(change.value, change.was, change.units) for change in found.newly_dead] == [("new", "old", (2,))]


def test_a_layer_is_found_by_its_module_where_the_tensor_has_another_name() -> None:
    before = facts((of_module(first_dead(8, 0, "relu_1"), "a"), of_module(first_dead(8, 5, "relu_2"), "b")))
    now = facts((of_module(first_dead(8, 5, "relu_1"), "b"), of_module(first_dead(8, 1, "relu"), "a")))
    found = compare_baseline(now, stored(before))
    assert found.by_order == () and found.matched == 2
    died = [(change.module, change.value, change.was, change.units) for change in found.newly_dead]
    assert died == [("a", "relu", "relu_1", (0,))]


def test_a_layer_of_another_width_is_not_compared_unit_by_unit() -> None:
    found = compare_baseline(facts((first_dead(8, 3, "a"),)), stored(facts((first_dead(9, 0, "a"),))))
    assert found.resized == ("a",) and found.newly_dead == () and found.matched == 0


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", "{}", '{"schema": "deadunits.audit/2"}', "null", "[" * 100_000],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "before.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"before\.json"):
        read_baseline(path)


def damaged(change: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(to_text(reported(healthy())))
    report["layers"][0].update(change)
    return report


@pytest.mark.parametrize(
    "change", [{"dead": None}, {"units": "many"}, {"evidence": {}}, {"dead": ["x"]}, {"nonfinite": 3}]
)
def test_a_damaged_report_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="damaged"):
        read_baseline(damaged(change))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"There is no baseline at .*no_such\.json"):
        read_baseline("no_such.json")
