"""Causes on the sample models, and the stage around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.facts.causes import CauseCode
from analyzer.facts.choice import Choice
from tests.promised import satisfies

SAMPLES = Path("sample_models")
KILLED = SAMPLES / "digits_mlp_killed"
DOWN = {CauseCode.BIAS_DOMINATES, CauseCode.WEIGHTS_DOMINATE, CauseCode.NONPOSITIVE_WEIGHTS}


def audited(name: str, **options: Any) -> analyzer.Audit:
    folder = SAMPLES / name
    return analyzer.audit(folder / "model.onnx", folder / "probe.npz", **options)


def codes(found: analyzer.Audit) -> Counter[CauseCode]:
    return Counter(cause.code for diagnosis in found.facts.diagnoses for cause in diagnosis.causes)


def test_the_killed_network_was_pushed_down() -> None:
    found = audited("digits_mlp_killed")
    assert set(codes(found)) == DOWN
    assert sum(codes(found).values()) == found.facts.dead == 100
    assert all(cause.distance is not None for d in found.facts.diagnoses for cause in d.causes)


def test_units_that_wake_on_the_holdout_are_those_called_fragile() -> None:
    found = analyzer.audit(KILLED / "model.onnx", analyzer.Data(KILLED / "probe.npz", KILLED / "holdout.npz"))
    revived = {(layer.value, unit) for layer in found.layers for unit in layer.revived or ()}
    by_risk = sorted(
        (cause.distance, diagnosis.value, cause.unit)
        for diagnosis in found.facts.diagnoses
        for cause in diagnosis.causes
        if cause.distance is not None
    )
    nearest = {(value, unit) for _, value, unit in by_risk[:20]}
    assert len(revived) == 4
    assert revived <= nearest


def test_tanh_and_sigmoid_are_saturated() -> None:
    assert set(codes(audited("saturated_tanh"))) == {CauseCode.SATURATED}
    assert set(codes(audited("digits_mlp_elu"))) == {CauseCode.SATURATED}


@pytest.mark.parametrize("name", ["digits_cnn_torchscript", "digits_cnn_dynamo"])
def test_a_sparsified_network_shows_zero_scales(name: str) -> None:
    found = codes(audited(name))
    assert set(found) <= {CauseCode.ZERO_KERNEL, CauseCode.NORM_SCALE_ZERO, CauseCode.STARVED}
    assert found[CauseCode.NORM_SCALE_ZERO]


@pytest.mark.parametrize("folder", sorted(p for p in SAMPLES.iterdir() if (p / "model.onnx").exists()))
def test_every_dead_unit_of_the_samples_has_a_known_cause(folder: Path) -> None:
    found = audited(folder.name)
    named = {d.value: {c.unit for c in d.causes if c.code is not CauseCode.UNKNOWN} for d in found.facts.diagnoses}
    assert all(set(layer.dead) <= named.get(layer.value, set()) for layer in found.layers)
    satisfies("audit", found.to_dict())


def test_without_data_the_weights_still_tell() -> None:
    found = analyzer.audit(SAMPLES / "digits_cnn_dynamo" / "model.onnx")
    assert codes(found)[CauseCode.ZERO_KERNEL]
    assert CauseCode.UNKNOWN not in codes(found)


def test_causes_can_be_left_out() -> None:
    found = audited("digits_mlp_killed", causes=False)
    assert found.facts.diagnoses == ()
    assert found.to_dict()["layers"][0]["causes"] == []


def test_data_that_can_be_read_once_gives_causes_without_distances() -> None:
    samples = np.load(SAMPLES / "digits_mlp_killed" / "probe.npz")

    def once() -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        for i in range(40):
            yield {name: array[i : i + 1] for name, array in samples.items()}

    found = analyzer.audit(SAMPLES / "digits_mlp_killed" / "model.onnx", once())
    assert "causes-not-measured" in {warning.name for warning in found.warnings}
    assert all(distance is None for d in found.facts.diagnoses for distance in d.distances)


def test_explaining_a_unit_says_why_and_how_far() -> None:
    lines = audited("digits_mlp_killed").explain_unit("/3/Relu_output_0", 3)
    assert lines[1].startswith("Why: nonpositive-weights")
    assert "standard deviations" in lines[2]


def test_a_prune_can_be_kept_to_units_far_from_waking() -> None:
    found = audited("digits_mlp_killed")
    every = found.prune(latency=False)
    few = found.prune(choice=Choice(min_distance=2.0), latency=False)
    assert every.facts.after.parameters < few.facts.after.parameters < few.facts.before.parameters
