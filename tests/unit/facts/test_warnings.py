"""Which warnings are raised when, by their stable codes."""

from __future__ import annotations

from dataclasses import replace

from analyzer.facts.audit import LayerVerdicts, ProbeSummary
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.warnings import warnings_of
from tests.made import by_weights, first_dead, layer, relu, seen

PROBE = ProbeSummary("probe.npz", 360, "xxh3:0")
ALIVE = first_dead(8, 0, "alive")


def codes(
    layers: list[LayerVerdicts], probe: ProbeSummary | None = PROBE, holdout: ProbeSummary | None = None
) -> list[str]:
    return [warning.code for warning in warnings_of(layers, probe, holdout)]


def test_a_healthy_audit_has_none() -> None:
    assert codes([ALIVE]) == []


def test_no_probe_is_said() -> None:
    assert codes([ALIVE], None) == ["no-probe"]


def test_a_random_probe_is_said() -> None:
    assert codes([ALIVE], replace(PROBE, random=True)) == ["random-probe"]


def test_fewer_than_59_samples_are_too_few() -> None:
    assert codes([ALIVE], replace(PROBE, samples=58)) == ["probe-too-small"]
    assert codes([ALIVE], replace(PROBE, samples=59)) == []


def test_sample_by_sample_is_said_where_there_are_several() -> None:
    assert [w.code for w in warnings_of([ALIVE], PROBE, batched=False)] == ["one-by-one"]


def test_samples_that_influence_each_other_are_said_with_what_to_do() -> None:
    mixing, slow = warnings_of([ALIVE], PROBE, batched=False, mixed=["alive"])
    assert (mixing.code, mixing.value) == ("samples-mix", "alive")
    assert "influence each other" in mixing.message
    assert "fixed batch" in mixing.message
    assert slow.code == "one-by-one"
    assert "influence each other" in slow.message
    assert "does not take several" not in slow.message


def test_a_dead_layer_hints_at_preprocessing() -> None:
    (warning,) = warnings_of([first_dead(8, 8, "whole")], PROBE)
    assert warning.code == "layer-dead"
    assert warning.value == "whole"
    assert "preprocessing" in warning.message


def test_a_layer_that_the_weights_kill_does_not_blame_the_probe() -> None:
    dead = by_weights(first_dead(4, 4, "whole"), 0, 1, 2, 3)
    (warning,) = warnings_of([dead], PROBE)
    assert warning.code == "layer-dead-by-weights"
    assert "preprocessing" not in warning.message


def test_half_a_layer_counts_from_four_units_on() -> None:
    assert codes([first_dead(4, 2, "half")]) == ["layer-mostly-dead"]
    assert codes([first_dead(4, 1, "quarter")]) == []
    assert codes([first_dead(2, 1, "tiny")]) == []


def test_nonfinite_values_are_said() -> None:
    assert codes([layer(relu(8), seen([0] * 8, [1] * 8, nonfinite=[1] + [0] * 7))]) == ["nonfinite"]


def test_units_that_the_holdout_revives_are_counted() -> None:
    revived = replace(first_dead(8, 2, "layer"), revived=(1,))
    (warning,) = warnings_of([revived], PROBE, PROBE)
    assert warning.code == "holdout-revives"
    assert warning.message.startswith("1 unit dead on the probe is alive")


def test_a_model_without_anything_to_audit_is_said() -> None:
    assert codes([]) == ["nothing-audited"]


def test_a_value_that_the_run_could_not_show_is_named() -> None:
    (warning,) = warnings_of([ALIVE], PROBE, unseen=["odd"])
    assert (warning.code, warning.value) == ("not-seen", "odd")


def test_an_input_that_reaches_nothing_is_named_and_one_of_which_a_part_does_not_is_not() -> None:
    part = UnusedInput("x", (1, 4), 4, 1, 1, (2,), structural=True)
    assert warnings_of([ALIVE], PROBE, unused_inputs=[part]) == ()
    (warning,) = warnings_of([ALIVE], PROBE, unused_inputs=[replace(part, unused=4, indices=(0, 1, 2, 3))])
    assert (warning.code, warning.value) == ("input-ignored", "x")


def test_an_output_that_never_changes_is_named_unless_there_was_but_one_sample() -> None:
    output = ConstantOutput("y", (1, 3), 1, (1,), 3, structural=False)
    (warning,) = warnings_of([ALIVE], PROBE, constant_outputs=[output])
    assert (warning.code, warning.message) == ("output-constant", "1 of 3 units of y is constant on every sample.")
    one = replace(PROBE, samples=1)
    assert "output-constant" not in [w.code for w in warnings_of([ALIVE], one, constant_outputs=[output])]
    decided = replace(output, structural=True, axis=None)
    (warning,) = warnings_of([ALIVE], PROBE, constant_outputs=[decided])
    assert warning.message == "Output y is constant whatever the data."
