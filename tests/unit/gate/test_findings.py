"""Every finding: when it is made and when not, and that its page says what it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.facts.audit import AuditFacts, Conditions, LayerVerdicts, ProbeSummary
from analyzer.facts.baseline import Baseline
from analyzer.facts.budgets import budgets_of
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Severity
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.gate import judge, kind_named
from analyzer.gate.catalogue import all_kinds
from analyzer.gate.finding_kind import FindingKind
from tests.gated import failing, healthy, was, with_baseline
from tests.made import by_weights, facts, first_dead, layer, of_module, proof, relu, seen, tanh, with_evidence

DOCS = Path(__file__).parents[3] / "docs" / "findings"


def found(audit: AuditFacts, settings: dict[str, Any] | None = None) -> dict[str, Severity]:
    """Code and severity of what is found; of several of a code the first."""
    result = judge(audit, budgets_of(settings or {}))
    return {finding.code: finding.severity for finding in reversed(result.findings)}


def units(result: CheckFacts, code: str) -> list[tuple[int, ...]]:
    return [finding.units for finding in result.findings if finding.code == code]


def one(single: LayerVerdicts, **others: Any) -> AuditFacts:
    return facts((single,), **others)


def test_a_healthy_model_has_no_findings() -> None:
    assert found(healthy()) == {}
    assert judge(healthy()).passed


def test_every_finding_but_those_of_a_baseline_can_be_provoked() -> None:
    seen_here = {finding.code for result in (failing(), with_baseline()) for finding in result.findings}
    provoked_below = {"DU009", "DU011", "DU013", "DU014", "DU018", "DU031", "DU038", "DU039", "DU040"}
    provoked_in_audits = {"DU023", "DU024", "DU025", "DU026", "DU027", "DU028", "DU029", "DU030"}
    provoked_by_data = {"DU032", "DU033", "DU034", "DU035", "DU036", "DU037"}
    assert seen_here | provoked_below | provoked_in_audits | provoked_by_data == {kind.code for kind in all_kinds()}


def over_domain(**evidence: tuple[int, ...]) -> AuditFacts:
    """Ten units of which the first four are dead, with this evidence."""
    return one(with_evidence(first_dead(10, 4, "relu"), **evidence), proof=proof())


def test_dead_units_that_an_input_of_the_domain_moves_are_a_warning() -> None:
    assert found(over_domain(refuted=(1, 3), proven=(0,)))["DU039"] is Severity.WARNING
    result = judge(over_domain(refuted=(1, 3), proven=(0,)))
    assert units(result, "DU039") == [(1, 3)]
    assert "2 of 4 units that are dead on the probe move for some input" in result.findings[0].message
    assert "DU039" not in found(over_domain(proven=(0,)))


@pytest.mark.parametrize(
    ("evidence", "asked", "fails"),
    [
        ({"structural": (0,), "proven": (1,)}, "50%", False),
        ({"structural": (0,), "proven": (1,)}, "51%", True),
        ({"refuted": (0, 1, 2, 3)}, "1%", True),
        ({}, "0%", False),
        ({"proven": (0, 1, 2, 3)}, "100%", False),
    ],
)
def test_a_budget_asks_for_a_share_of_proofs(evidence: Any, asked: str, fails: bool) -> None:
    result = judge(over_domain(**evidence), budgets_of({"min-proven": asked}))
    assert ("DU040" in {finding.code for finding in result.findings}) is fails
    (use,) = (use for use in result.uses if use.setting == "min-proven")
    assert use.within is not fails


def test_the_share_of_proofs_says_what_became_of_the_others() -> None:
    result = judge(over_domain(refuted=(0, 1, 2)), budgets_of({"min-proven": "10%"}))
    (finding,) = (finding for finding in result.findings if finding.code == "DU040")
    assert finding.message.endswith("the budget asks for 10 %: inputs of it move 3, and 1 is open.")


def test_a_share_of_proofs_without_a_domain_fails_and_says_so_and_without_dead_units_passes() -> None:
    without = judge(replace(over_domain(), proof=None), budgets_of({"min-proven": "10%"}))
    assert any(f.code == "DU040" and "no domain was stated (--domain)" in f.message for f in without.findings)
    assert "DU040" not in found(one(layer(relu(3), seen([0] * 3, [1] * 3))), {"min-proven": "100%"})


def test_samples_that_statistics_lack_are_a_warning() -> None:
    lacking = replace(healthy(), conditions=Conditions(missing=((8, 16), (24, 25))))
    assert found(lacking) == {"DU038": Severity.WARNING}
    assert judge(lacking).findings[0].measured == 9


def test_a_layer_that_is_wholly_dead_is_an_error() -> None:
    assert found(one(first_dead(8, 8, "a")))["DU001"] is Severity.ERROR
    assert "DU001" not in found(one(first_dead(8, 7, "a")))
    for dead, severity in ((8, Severity.ERROR), (7, Severity.WARNING)):
        assert found(one(by_weights(first_dead(8, dead, "a"), *range(dead)))) == {"DU027": severity}


def test_a_single_sample_makes_no_layer_dead() -> None:
    assert "DU001" not in found(one(first_dead(8, 8, "a", samples=1), probe=ProbeSummary("p", 1, "")))
    decided = by_weights(first_dead(8, 8, "a", samples=1), *range(8))
    assert "DU027" in found(one(decided, probe=ProbeSummary("p", 1, "")))


def test_a_layer_that_may_be_dead_is_no_finding() -> None:
    assert found(one(first_dead(8, 8, "/head/relu")), {"expect-dead": ["/head/*:*"]}) == {}
    named = of_module(first_dead(8, 8, "relu_1"), "head.act")
    assert found(one(named), {"expect-dead": ["head.*:*"]}) == {}
    mostly = {"expect-dead": ["a:0-3"], "max-dead": 0}
    assert found(one(first_dead(8, 4, "a")), mostly) == {}
    assert set(found(one(first_dead(8, 5, "a")), mostly)) == {"DU015"}


def test_most_of_a_layer_dead_is_a_warning() -> None:
    assert found(one(first_dead(8, 4, "a"))) == {"DU014": Severity.WARNING}
    assert found(one(first_dead(8, 3, "a"))) == {}
    assert found(one(first_dead(2, 1, "a"))) == {}  # half of two units says nothing


def test_nonfinite_units_are_an_error() -> None:
    audit = one(layer(relu(2), seen([0, 0], [1, 1], nonfinite=np.array([0, 3]))))
    assert found(audit)["DU002"] is Severity.ERROR
    assert units(judge(audit), "DU002") == [(1,)]


def test_unused_inputs_are_warnings() -> None:
    part = UnusedInput("x", (1, 4), 4, 1, 1, (2,), structural=True)
    assert found(replace(healthy(), unused_inputs=(part,))) == {"DU003": Severity.WARNING}
    assert found(replace(healthy(), unused_inputs=(replace(part, unused=4),))) == {"DU004": Severity.WARNING}


def test_a_constant_output_is_an_error_unless_expected() -> None:
    output = ConstantOutput("y", (1, 10), 1, (3,), 10, structural=False)
    audit = replace(healthy(), constant_outputs=(output,))
    assert found(audit) == {"DU005": Severity.ERROR}
    assert "DU005" not in found(audit, {"expect-dead": ["y:3"]})
    assert found(replace(audit, probe=ProbeSummary("p", 1, ""))) == {"DU007": Severity.WARNING}


@pytest.mark.parametrize(
    ("audited", "low", "high", "stuck"),
    [
        (replace(relu(2), high=6.0), [6, 0], [6, 1], True),
        (replace(relu(2), high=6.0), [0, 0], [0, 1], False),
        (replace(relu(2), high=6.0), [5, 0], [5, 1], False),
        (replace(relu(2), high=6.0), [6 - 1e-6, 0], [6 - 1e-6, 1], False),  # only asymptotes are reached about
        (tanh(2), [1 - 1e-6, -1], [1 - 1e-6, 1], True),
        (tanh(2), [-1, -1], [-1, 1], True),
        (tanh(2), [0.5, -1], [0.5, 1], False),
    ],
)
def test_units_at_a_bound_other_than_zero_are_stuck(
    audited: Any, low: list[float], high: list[float], stuck: bool
) -> None:
    assert ("DU006" in found(one(layer(audited, seen(low, high))))) is stuck


@pytest.mark.parametrize(
    ("samples", "settings", "severity"),
    [
        (58, {}, Severity.WARNING),
        (59, {}, None),
        (100, {"min-samples": 101}, Severity.ERROR),
        (10, {"min-samples": 10}, None),
    ],
)
def test_a_small_probe_is_told(samples: int, settings: dict[str, Any], severity: Severity | None) -> None:
    audit = facts((first_dead(8, 0, "a", samples=samples),), probe=ProbeSummary("p", samples, ""))
    assert found(audit, settings).get("DU007") is severity


def test_revived_units_are_a_warning() -> None:
    assert found(one(replace(first_dead(8, 2, "a"), revived=(1,)))) == {"DU008": Severity.WARNING}


@pytest.mark.parametrize(
    ("then", "now", "far"), [(5, 10, True), (5, 9, False), (40, 50, False), (40, 60, True), (0, 5, True)]
)
def test_a_share_far_above_the_baseline_is_an_error(then: int, now: int, far: bool) -> None:
    before = Baseline("b.json", "", 500, (was("a", 100, set(range(then))),))
    result = judge(one(first_dead(100, now, "other")), None, before)
    assert any(finding.code == "DU009" for finding in result.findings) is far


def test_newly_dead_units_that_are_expected_are_no_finding() -> None:
    before = Baseline("b.json", "", 500, (was("a", 8, set()),))
    audit = one(first_dead(8, 2, "a"))
    assert units(judge(audit, None, before), "DU010") == [(0, 1)]
    assert units(judge(audit, budgets_of({"expect-dead": ["a:0"]}), before), "DU010") == [(1,)]


def test_a_baseline_of_which_nothing_matches_fails_the_check() -> None:
    before = Baseline("b.json", "", 500, (was("b", 9, set()),))
    result = judge(one(first_dead(8, 0, "a")), None, before)
    assert [(f.code, f.severity) for f in result.findings] == [("DU022", Severity.ERROR)]


def test_a_budget_that_nothing_could_be_held_against_is_not_kept() -> None:
    nothing = replace(healthy(), layers=())
    assert found(nothing) == {"DU011": Severity.WARNING}
    assert found(nothing, {"max-dead": "5%"})["DU011"] is Severity.ERROR
    unseen = replace(healthy(), probe=None)
    assert found(unseen) == {"DU013": Severity.WARNING}
    for asked in ({"max-dead": "5%"}, {"min-samples": 1}):
        assert found(unseen, asked)["DU013"] is Severity.ERROR


def test_random_data_is_told() -> None:
    assert found(replace(healthy(), probe=ProbeSummary("random", 360, "", random=True))) == {"DU012": Severity.WARNING}


def near_dead() -> LayerVerdicts:
    return layer(relu(4), seen([0] * 4, [0, 1, 1, 1], 200, fired=np.array([0, 1, 200, 200])))


def saturated() -> LayerVerdicts:
    return layer(tanh(4), seen([-1] * 4, [-1, 0.9, 0.9, 0.9], 100, low_samples=np.array([100, 100, 0, 0])))


@pytest.mark.parametrize(
    ("code", "single", "setting", "allows"),
    [
        ("DU015", lambda: first_dead(8, 2, "a"), "max-dead", 2),
        ("DU016", lambda: first_dead(8, 2, "a"), "max-dead-layer", 2),
        ("DU017", saturated, "max-constant", 1),
        ("DU017", saturated, "max-constant-layer", "25%"),
        ("DU018", near_dead, "max-near-dead", 1),
        ("DU018", near_dead, "max-near-dead-layer", "25%"),
        ("DU019", saturated, "max-saturated", "25%"),
        ("DU019", saturated, "max-saturated-layer", 1),
    ],
)
def test_a_budget_is_kept_up_to_its_limit(
    code: str, single: Callable[[], LayerVerdicts], setting: str, allows: int | str
) -> None:
    assert code not in found(one(single()), {setting: allows})
    assert found(one(single()), {setting: 0})[code] is Severity.ERROR


def test_prunable_parameters_have_a_budget_of_their_own() -> None:
    assert "DU020" not in found(healthy(), {"max-prunable": "95%", "max-prunable-layer": {"*.weight": "95%"}})
    assert found(healthy(), {"max-prunable": 5873})["DU020"] is Severity.ERROR
    result = judge(healthy(), budgets_of({"max-prunable-layer": {"net.2.*": "50%"}}))
    assert [finding.value for finding in result.findings] == ["net.2.weight"]


def test_a_list_of_expected_units_that_is_out_of_date_is_told() -> None:
    audit = one(first_dead(8, 2, "a"))
    assert found(audit, {"expect-dead": ["a:0-1"]}) == {}
    assert found(audit, {"expect-dead": ["a:0-2"]}) == {"DU021": Severity.NOTE}
    assert found(audit, {"expect-dead": ["gone:*"]}) == {"DU021": Severity.NOTE}
    unseen = facts((replace(first_dead(8, 0, "a"), samples=0),), probe=None)
    assert "DU021" not in found(unseen, {"expect-dead": ["a:0"]})
    broken = one(layer(relu(2, "a"), seen([0, 0], [1, 1], nonfinite=[3, 0])))
    assert "DU021" not in found(broken, {"expect-dead": ["a:0"]})


def test_a_finding_can_be_turned_off_or_weighed_otherwise() -> None:
    audit = one(first_dead(8, 8, "a"))
    assert found(audit, {"ignore": ["DU001"]}) == {}
    assert found(audit, {"severity": {"DU001": "off"}}) == {}
    assert found(audit, {"severity": {"DU001": "note"}}) == {"DU001": Severity.NOTE}
    small = facts((first_dead(8, 0, "a", samples=5),), probe=ProbeSummary("p", 5, ""))
    assert found(small, {"min-samples": 9, "severity": {"DU007": "warning"}}) == {"DU007": Severity.WARNING}


def test_a_code_that_does_not_exist_is_refused() -> None:
    for settings in ({"ignore": ["DU999"]}, {"severity": {"DU999": "off"}}):
        with pytest.raises(InputError, match="There is no finding DU999"):
            judge(healthy(), budgets_of(settings))


def test_messages_are_sentences_without_names_from_files() -> None:
    for result in (failing(), with_baseline()):
        for finding in result.findings:
            assert finding.message.endswith(".") and finding.message[0].isupper() | finding.message[0].isdigit()
            assert not finding.value or finding.value not in finding.message


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: str(kind.code))
def test_every_finding_has_a_page_that_says_what_the_kind_says(kind: FindingKind) -> None:
    audits = " `deadunits audit` shows it as well." if kind.in_audit else ""
    assert kind.page().startswith(
        f"# {kind.code} {kind.name}: {kind.title}\n\nSeverity unless another is set: **{kind.severity}**.{audits}\n"
    )
    headings = [line.removeprefix("## ") for line in kind.page().splitlines() if line.startswith("## ")]
    assert headings == ["What it means", "Why it matters", "What to do", "Evidence", "Turn it off"]
    assert kind.page().endswith(
        f'`--ignore {kind.code}`, or in `deadunits.toml` `ignore = ["{kind.code}"]`. '
        f"Another severity: `--severity {kind.code}=warning`.\n"
    )
    assert kind_named(kind.code.lower()) is kind


def test_codes_and_names_are_unique_and_in_order() -> None:
    codes = [kind.code for kind in all_kinds()]
    assert codes == sorted(set(codes))
    assert len({kind.name for kind in all_kinds()}) == len(all_kinds())


def test_the_pages_are_those_of_the_findings_and_the_index_lists_them() -> None:
    rows = [
        f"| [{kind.code}]({kind.code}.md) | `{kind.name}` | {kind.severity} | {kind.title} |" for kind in all_kinds()
    ]
    lines = (DOCS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| [")] == rows
    assert {path.stem for path in DOCS.glob("*.md")} == {"README", *(kind.code for kind in all_kinds())}


CONVOLUTIONS = LeftOut("in blocks", (OperatorCount("Conv", 11),), 90, 0, 0)
UNCOUNTED = LeftOut("a subgraph", (OperatorCount("If", 1),), None, 0, 0)


def looked_at(share: int, *left_out: LeftOut) -> Judged:
    return Judged(100, share, 10, 10, 2, 2, len(left_out), left_out)


@pytest.mark.parametrize(
    ("judged", "settings", "severity"),
    [
        (looked_at(90), {}, None),
        (looked_at(89, CONVOLUTIONS), {}, Severity.WARNING),
        (looked_at(49, CONVOLUTIONS), {}, Severity.ERROR),
        (looked_at(60, CONVOLUTIONS), {"max-dead": "90%"}, Severity.WARNING),
        (looked_at(49, CONVOLUTIONS), {"max-dead": "90%"}, Severity.ERROR),
        (looked_at(49, CONVOLUTIONS), {"min-judged": "49%"}, None),
        (looked_at(49, CONVOLUTIONS), {"min-judged": 0.5}, Severity.ERROR),
        (looked_at(100, UNCOUNTED), {}, Severity.WARNING),
        (looked_at(100, UNCOUNTED), {"max-dead": "90%"}, Severity.WARNING),
        (looked_at(100, UNCOUNTED), {"min-judged": "10%"}, Severity.ERROR),
        (looked_at(49, CONVOLUTIONS), {"min-judged": "90%", "severity": {"DU031": "note"}}, Severity.NOTE),
        (Judged(100, 100, 10, 8, 2, 2, 0, (CONVOLUTIONS,)), {}, Severity.WARNING),
        (Judged(100, 100, 10, 10, 2, 1, 0, (CONVOLUTIONS,)), {}, Severity.WARNING),
        (Judged(), {"min-judged": "90%"}, None),
    ],
)
def test_what_was_not_looked_at_does_not_pass(
    judged: Judged, settings: dict[str, Any], severity: Severity | None
) -> None:
    assert found(replace(healthy(), judged=judged), settings).get("DU031") == severity


def test_the_most_expensive_reason_is_named_with_the_shares() -> None:
    result = judge(replace(healthy(), judged=looked_at(10, CONVOLUTIONS, UNCOUNTED)), budgets_of({"min-judged": "90%"}))
    (finding,) = (finding for finding in result.findings if finding.code == "DU031")
    assert finding.message == (
        "Judged: at most 10 % of multiply-adds, 100 % of parameters, 2 of 2 activations "
        "(the budget asks for 90 % of each). Left out: 11 Conv (in blocks); 1 other reason."
    )
    assert (finding.measured, finding.allowed) == (0.1, 0.9)


def test_without_data_a_low_share_is_no_news_unless_it_was_asked_for() -> None:
    blind = replace(healthy(), probe=None, judged=looked_at(0, CONVOLUTIONS))
    assert found(blind) == {"DU013": Severity.WARNING}
    assert found(blind, {"min-judged": "90%"}) == {"DU013": Severity.ERROR, "DU031": Severity.ERROR}
