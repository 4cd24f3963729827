"""Which findings an audit shows, judged without budgets, by their stable names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analyzer.facts.audit import Conditions, LayerVerdicts, ProbeSummary
from analyzer.facts.findings import Finding
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.gate import audit_findings, judge
from analyzer.gate.catalogue import all_kinds
from tests.gated import failing
from tests.made import by_weights, facts, first_dead, layer, relu, seen

PROBE = ProbeSummary("probe.npz", 360, "xxh3:0")
ALIVE = first_dead(8, 0, "alive")


def findings(*layers: LayerVerdicts, **others: Any) -> tuple[Finding, ...]:
    return audit_findings(replace(facts(), **{"layers": layers, "probe": PROBE, **others}))


def names(*layers: LayerVerdicts, **others: Any) -> list[str]:
    return [finding.name for finding in findings(*layers, **others)]


def test_a_healthy_audit_has_none() -> None:
    assert names(ALIVE) == []


def test_no_probe_is_said() -> None:
    assert names(ALIVE, probe=None) == ["no-probe"]


def test_a_random_probe_is_said() -> None:
    assert names(ALIVE, probe=replace(PROBE, random=True)) == ["random-probe"]


def test_fewer_than_59_samples_are_too_few() -> None:
    assert names(ALIVE, probe=replace(PROBE, samples=58)) == ["probe-too-small"]
    assert names(ALIVE, probe=replace(PROBE, samples=59)) == []


def test_sample_by_sample_is_said_where_there_are_several() -> None:
    (counted,) = findings(ALIVE, conditions=Conditions(one_by_one=True, inseparable=4))
    assert "4 samples at once" in counted.message
    one_by_one = Conditions(one_by_one=True)
    assert names(ALIVE, conditions=one_by_one) == ["one-by-one"]
    assert "one-by-one" not in names(ALIVE, conditions=one_by_one, probe=replace(PROBE, samples=1))


def test_samples_that_nothing_proves_to_be_independent_are_said_with_the_way_out() -> None:
    (slow,) = findings(ALIVE, conditions=Conditions(one_by_one=True, may_mix="nms (NonMaxSuppression): no rule"))
    assert "NonMaxSuppression" in slow.message
    assert "--independent" in slow.message


def test_the_word_that_samples_are_independent_is_repeated() -> None:
    (said,) = findings(ALIVE, conditions=Conditions(may_mix="nms (NonMaxSuppression): no rule", stated=True))
    assert said.name == "independence-stated"
    assert "--independent" in said.message


def test_samples_that_influence_each_other_are_said_with_what_to_do() -> None:
    mixing, slow = findings(ALIVE, conditions=Conditions(one_by_one=True, mixed=("alive", "b", "c")))
    assert (mixing.name, mixing.value) == ("samples-mix", "alive")
    assert "and 2 other values" in mixing.message
    assert "fixed batch" in mixing.message
    assert slow.name == "one-by-one"
    assert "influence each other" in slow.message
    assert "does not take several" not in slow.message


def test_verdicts_behind_a_scale_that_samples_share_are_said_to_hold_for_one_sample_per_run() -> None:
    mixing, slow = findings(ALIVE, conditions=Conditions(one_by_one=True, scaled_together=("alive", "b")))
    assert (mixing.name, mixing.value) == ("samples-mix", "alive")
    assert "one sample per run" in mixing.message
    assert "influence each other" in slow.message


def test_a_dead_layer_hints_at_preprocessing() -> None:
    (finding,) = findings(first_dead(8, 8, "whole"))
    assert finding.name == "layer-dead"
    assert finding.value == "whole"
    assert "preprocessing" in finding.message


def test_a_layer_that_the_weights_kill_does_not_blame_the_probe() -> None:
    whole, half = by_weights(first_dead(4, 4, "whole"), 0, 1, 2, 3), by_weights(first_dead(4, 2, "half"), 0, 1)
    assert names(whole) == names(half) == ["layer-dead-by-weights"]
    assert all("preprocessing" not in finding.message for finding in findings(whole, half))
    mixed = by_weights(first_dead(8, 8, "mixed"), *range(5))
    assert "most of them by the weights alone" in findings(mixed)[0].message
    assert names(by_weights(first_dead(8, 8, "mixed"), *range(4))) == ["layer-dead"]
    assert names(by_weights(first_dead(8, 5, "few"), 0, 1)) == ["layer-mostly-dead"]


def test_half_a_layer_counts_from_four_units_on() -> None:
    assert names(first_dead(4, 2, "half")) == ["layer-mostly-dead"]
    assert names(first_dead(4, 1, "quarter")) == []
    assert names(first_dead(2, 1, "tiny")) == []


def test_a_single_sample_kills_no_layer_that_the_weights_do_not() -> None:
    one = first_dead(8, 8, "one", samples=1)
    assert names(one, probe=replace(PROBE, samples=1)) == ["probe-too-small"]
    some = by_weights(one, 0, 1, 2, 3)
    assert names(some, probe=replace(PROBE, samples=1)) == ["probe-too-small", "layer-dead-by-weights"]
    assert findings(some, probe=replace(PROBE, samples=1))[1].units == (0, 1, 2, 3)


def test_nonfinite_values_are_said() -> None:
    assert names(layer(relu(8), seen([0] * 8, [1] * 8, nonfinite=[1] + [0] * 7))) == ["nonfinite"]


def test_units_that_the_holdout_revives_are_counted() -> None:
    (finding,) = findings(replace(first_dead(8, 2, "layer"), revived=(1,)), holdout=PROBE)
    assert finding.name == "holdout-revives"
    assert finding.message.startswith("1 of 2 dead units is alive on the holdout: ")


def test_a_model_without_anything_to_audit_is_said() -> None:
    assert names() == ["nothing-audited"]


def test_a_value_that_the_run_could_not_show_is_named() -> None:
    (finding,) = findings(ALIVE, conditions=Conditions(unseen=("odd",)))
    assert (finding.name, finding.value) == ("not-seen", "odd")


def test_a_second_pass_that_failed_is_said_with_its_reason() -> None:
    (finding,) = findings(ALIVE, conditions=Conditions(causes_failed="The generator is used up."))
    assert finding.name == "causes-not-measured"
    assert finding.message.endswith("a second time: The generator is used up.")


def test_an_input_that_reaches_nothing_is_named_and_one_of_which_a_part_does_not_is_not() -> None:
    part = UnusedInput("x", (1, 4), 4, 1, 1, (2,), structural=True)
    assert findings(ALIVE, unused_inputs=(part,)) == ()
    (finding,) = findings(ALIVE, unused_inputs=(replace(part, unused=4, indices=(0, 1, 2, 3)),))
    assert (finding.name, finding.value) == ("input-ignored", "x")


def test_an_output_that_never_changes_is_named_unless_there_was_but_one_sample() -> None:
    output = ConstantOutput("y", (1, 3), 1, (1,), 3, structural=False)
    (finding,) = findings(ALIVE, constant_outputs=(output,))
    assert (finding.name, finding.value) == ("output-constant", "y")
    assert finding.message == "1 of 3 output units never changes on all 360 samples."
    one = replace(PROBE, samples=1)
    assert "output-constant" not in names(ALIVE, probe=one, constant_outputs=(output,))
    (finding,) = findings(ALIVE, constant_outputs=(replace(output, structural=True),))
    assert "whatever the data" in finding.message


def test_a_check_without_budgets_finds_what_the_audit_finds() -> None:
    audit = failing().audit
    shown = {kind.code for kind in all_kinds() if kind.in_audit}
    assert audit_findings(audit) == tuple(finding for finding in judge(audit).findings if finding.code in shown)
