"""Which warnings are raised when, by their stable codes."""

from __future__ import annotations

from dataclasses import replace

from analyzer.facts.audit import LayerVerdicts, ProbeSummary
from analyzer.facts.warnings import warnings_of
from tests.made import first_dead, layer, relu, seen

PROBE = ProbeSummary("probe.npz", 360, "sha256:0")
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


def test_a_dead_layer_hints_at_preprocessing() -> None:
    (warning,) = warnings_of([first_dead(8, 8, "whole")], PROBE)
    assert warning.code == "layer-dead"
    assert warning.value == "whole"
    assert "preprocessing" in warning.message


def test_a_layer_that_the_weights_kill_does_not_blame_the_probe() -> None:
    dead = replace(first_dead(4, 4, "whole"), structural=(0, 1, 2, 3))
    (warning,) = warnings_of([dead], PROBE)
    assert warning.code == "layer-dead-by-weights"
    assert "preprocessing" not in warning.message


def test_half_a_layer_counts_from_four_units_on() -> None:
    assert codes([first_dead(4, 2, "half")]) == ["layer-mostly-dead"]
    assert codes([first_dead(4, 1, "quarter")]) == []
    assert codes([first_dead(2, 1, "tiny")]) == []


def test_a_value_that_only_repeats_another_does_not_warn_again() -> None:
    assert codes([replace(first_dead(8, 8, "conv"), covered_by="relu"), ALIVE]) == []


def test_nonfinite_values_are_said() -> None:
    assert codes([layer(relu(8), seen([0] * 8, [1] * 8, nonfinite=[1] + [0] * 7))]) == ["nonfinite"]


def test_units_that_the_holdout_revives_are_counted() -> None:
    revived = replace(first_dead(8, 2, "layer"), revived=(1,))
    (warning,) = warnings_of([revived], PROBE, PROBE)
    assert warning.code == "holdout-revives"
    assert warning.message.startswith("1 unit dead on the probe is alive")


def test_a_model_without_anything_to_audit_is_said() -> None:
    assert codes([]) == ["nothing-audited"]
