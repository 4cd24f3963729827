"""The JSON report of an audit: what others rely on is there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from analyzer.facts.audit import AuditFacts
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.report.audit.json import to_text
from tests.made import by_weights, facts, first_dead, layer, relu, reported, seen
from tests.promised import satisfies


def with_everything() -> AuditFacts:
    made = facts()
    return replace(
        made,
        holdout=made.probe,
        layers=tuple(replace(one, revived=(0,)) for one in made.layers),
        unused_inputs=(UnusedInput("x", (1, 4), 4, 1, 1, (2,), structural=True),),
        constant_outputs=(ConstantOutput("y", (1, 3), None, (0, 1, 2), 3, structural=False),),
    )


def without_a_probe() -> AuditFacts:
    unseen = layer(relu(4), seen([0] * 4, [0] * 4, samples=0))
    return facts([unseen], probe=None)


def written(audit: AuditFacts) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_text(reported(audit)))
    return document


@pytest.mark.parametrize("made", [facts(), with_everything(), without_a_probe()], ids=["usual", "full", "bare"])
def test_every_report_satisfies_the_schemas(made: AuditFacts) -> None:
    satisfies("audit", written(made))


def test_the_names_that_others_rely_on_are_there() -> None:
    report = written(facts())
    assert report["schema"] == "deadunits.audit/1"
    assert {"path", "sha256", "producer", "opset", "parameters", "multiply_adds", "bytes"} <= set(report["model"])
    assert {"source", "samples", "fingerprint"} <= set(report["probe"])
    assert {
        "value",
        "node",
        "op",
        "axis",
        "units",
        "dead",
        "constant",
        "near_dead",
        "saturated",
        "always_on",
    } < set(report["layers"][0])
    assert {"parameters", "parameters_share", "multiply_adds", "tensors"} <= set(report["removable"])
    assert set(report["locked"][0]) == {"value", "units", "reason", "detail"}


def test_structural_and_observed_units_are_told_apart() -> None:
    made = by_weights(first_dead(8, 3, "relu"), 1)
    evidence = written(facts([made]))["layers"][0]["evidence"]
    assert (evidence["structural"], evidence["observed"]) == ([1], [0, 2])


def test_the_same_audit_gives_the_same_text() -> None:
    assert to_text(reported(facts())) == to_text(reported(facts()))
    assert to_text(reported(facts())).endswith("}\n")


def test_the_judged_share_is_null_where_nothing_is_counted() -> None:
    left = LeftOut("a subgraph", (OperatorCount("If", 1),), None, 7, 1)
    judged = written(facts(judged=Judged(0, 0, 7, 0, 1, 0, 1, (left,))))["judged"]
    assert (judged["multiply_adds_share"], judged["parameters_share"]) == (None, 0)
    assert (judged["activations"], judged["activations_judged"], judged["not_counted"]) == (1, 0, 1)
    assert judged["left_out"] == [
        {
            "reason": "a subgraph",
            "operators": [{"op": "If", "nodes": 1}],
            "multiply_adds": None,
            "parameters": 7,
            "activations": 1,
        }
    ]
