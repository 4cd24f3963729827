"""The verdict on a model: the worst thing decides, and nothing doubtful is called healthy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer import AuditFacts
from analyzer.facts.audit import Conditions, Removable
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.health import Verdict, health_of
from analyzer.gate.catalogue import all_kinds
from analyzer.gate.finding_kind import FindingKind
from tests import made

NOTHING = Removable(0, 0.0, 0, 0.0, ())


def audit(*warnings: Finding, removable: Removable = NOTHING, dead: int = 0) -> AuditFacts:
    return replace(made.facts([made.first_dead(200, dead, "relu")], removable=removable), warnings=warnings)


def finding(name: str, severity: Severity, measured: float | None = None) -> Finding:
    return Finding("DU000", name, severity, "A sentence.", About.LAYER, "relu", measured=measured)


@pytest.mark.parametrize("kind", [kind for kind in all_kinds() if kind.in_audit], ids=lambda kind: kind.name)
def test_a_finding_that_is_no_note_is_never_healthy(kind: FindingKind) -> None:
    severity, name = kind.severity, kind.name
    verdict = health_of(audit(finding(name, severity, measured=1.0))).verdict
    if severity is Severity.ERROR:
        assert verdict is Verdict.BROKEN
    elif severity is Severity.WARNING:
        assert verdict is Verdict.SUSPICIOUS
    else:
        assert verdict is Verdict.HEALTHY


def test_a_finding_that_nobody_knows_is_suspicious() -> None:
    assert health_of(audit(finding("of a later version", Severity.WARNING))).verdict is Verdict.SUSPICIOUS


def test_an_output_that_is_constant_in_part_is_not_broken() -> None:
    assert health_of(audit(finding("output-constant", Severity.ERROR, measured=0.5))).verdict is Verdict.SUSPICIOUS


def test_the_worst_finding_decides_and_its_like_are_counted() -> None:
    doubt, error = finding("little-judged", Severity.WARNING), finding("layer-dead", Severity.ERROR)
    health = health_of(audit(doubt, error, error, error, removable=Removable(900, 0.9, 0, 0.0, ())))
    assert (health.verdict, health.finding, health.more) == (Verdict.BROKEN, error, 2)


@pytest.mark.parametrize(
    ("removable", "dead", "verdict", "words"),
    [
        (NOTHING, 0, Verdict.HEALTHY, "no dead unit among 200"),
        (NOTHING, 1, Verdict.HEALTHY, "1 of 200 units is dead"),
        (NOTHING, 10, Verdict.WASTEFUL, "10 of 200 units are dead"),
        (Removable(5, 0.005, 0, 0.0, ()), 1, Verdict.HEALTHY, "costs less than 1 %"),
        (Removable(50, 0.05, 0, 0.0, ()), 1, Verdict.WASTEFUL, "5 % of the parameters"),
        (Removable(0, 0.0, 50, 0.05, ()), 0, Verdict.WASTEFUL, "5 % of the multiply-adds"),
    ],
)
def test_what_is_dead_and_can_go_is_waste(removable: Removable, dead: int, verdict: Verdict, words: str) -> None:
    health = health_of(audit(removable=removable, dead=dead))
    assert health.verdict is verdict
    assert words in health.reason


def test_the_command_repeats_what_was_fed() -> None:
    step = health_of(audit(removable=Removable(50, 0.05, 0, 0.0, ()))).next_step
    assert (
        step.command("m.onnx --probe 'my data.npz'") == "deadunits prune m.onnx --probe 'my data.npz' -o SMALLER.onnx"
    )


def test_names_stand_for_what_is_not_known() -> None:
    assert health_of(audit(removable=Removable(50, 0.05, 0, 0.0, ()))).next_step.command() == (
        "deadunits prune MODEL --probe DATA -o SMALLER.onnx"
    )
    without = replace(audit(), probe=None)
    assert health_of(without).next_step.command() == "deadunits audit MODEL --probe DATA"


def test_a_cut_needs_data_where_only_statistics_of_it_were_given() -> None:
    removable = Removable(50, 0.05, 0, 0.0, ())
    alone = replace(audit(removable=removable), conditions=Conditions(statistics_alone=True))
    step = health_of(alone).next_step
    assert step.command("m.onnx --statistics a.stats") == (
        "deadunits prune m.onnx --statistics a.stats --probe DATA -o SMALLER.onnx"
    )
    assert step.command() == "deadunits prune MODEL --probe DATA -o SMALLER.onnx"
