"""The JSON report of a prune: the audit's, and more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from analyzer.facts.pruned import PrunedFacts
from analyzer.report.audit.json import to_text as audit_text
from analyzer.report.prune.json import to_text
from tests.made import facts, reported, reported_prune
from tests.made_pruned import comparison, pruned, with_everything
from tests.promised import satisfies


def unchanged() -> PrunedFacts:
    made = pruned()
    return replace(
        made, changed=False, comparison=None, perturbed=None, latency=None, removed_units={}, after=made.before
    )


def written(made: PrunedFacts) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_text(reported_prune(facts(), made)))
    return document


@pytest.mark.parametrize("made", [pruned(), with_everything(), unchanged()], ids=["usual", "full", "unchanged"])
def test_every_report_satisfies_the_schemas(made: PrunedFacts) -> None:
    satisfies("prune", written(made))


def test_it_is_the_audit_and_more() -> None:
    report, audit = written(pruned()), json.loads(audit_text(reported(facts())))
    assert report["schema"] == "deadunits.prune/1"
    assert {key: value for key, value in report.items() if key in audit and key != "schema"} == {
        key: value for key, value in audit.items() if key != "schema"
    }
    assert set(report["after"]) == {"parameters", "multiply_adds", "bytes", "peak_activation"}
    assert {"samples", "max_abs_difference", "max_relative_difference", "tolerance"} <= set(report["comparison"])
    assert {"before", "after", "ratio"} <= set(report["latency"])


def test_an_infinite_difference_is_null() -> None:
    report = written(pruned(holdout=comparison(float("inf"))))["comparison"]["holdout"]
    assert (report["max_abs_difference"], report["within"]) == (None, False)
