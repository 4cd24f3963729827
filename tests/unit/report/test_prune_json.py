"""The JSON report of a prune satisfies its schema, and the schema describes all that is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from analyzer.facts.pruned import PrunedFacts
from analyzer.report.json import to_dict as audit_dict
from analyzer.report.prune_json import SCHEMA, schema, to_dict, to_text
from tests.made import facts
from tests.made_pruned import comparison, pruned, with_everything


def unchanged() -> PrunedFacts:
    made = pruned()
    return replace(
        made, changed=False, comparison=None, perturbed=None, latency=None, removed_units={}, after=made.before
    )


@pytest.mark.parametrize("made", [pruned(), with_everything(), unchanged()], ids=["usual", "full", "unchanged"])
def test_every_report_satisfies_the_schema(made: PrunedFacts) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(to_text(facts(), made)), schema())


def test_nothing_is_written_that_the_schema_does_not_describe() -> None:
    def closed(part: Any) -> Any:
        if isinstance(part, dict):
            inner = {key: closed(value) for key, value in part.items()}
            is_object = "properties" in part and "object" in str(part.get("type"))
            return {**inner, "additionalProperties": False} if is_object else inner
        return [closed(value) for value in part] if isinstance(part, list) else part

    jsonschema.validate(to_dict(facts(), with_everything()), closed(schema()))


def test_it_is_the_audit_and_more() -> None:
    report, audit = to_dict(facts(), pruned()), audit_dict(facts())
    assert report["schema"] == SCHEMA == "deadunits.prune/1"
    assert {key: value for key, value in report.items() if key in audit and key != "schema"} == {
        key: value for key, value in audit.items() if key != "schema"
    }
    assert set(report["after"]) == {"parameters", "multiply_adds", "bytes", "peak_activation"}
    assert {"samples", "max_abs_difference", "max_relative_difference", "tolerance"} <= set(report["comparison"])
    assert {"before", "after", "ratio"} <= set(report["latency"])


def test_an_infinite_difference_is_null() -> None:
    report = to_dict(facts(), pruned(holdout=comparison(float("inf"))))["comparison"]["holdout"]
    assert (report["max_abs_difference"], report["within"]) == (None, False)
    to_text(facts(), pruned(holdout=comparison(float("inf"))))
