"""Causes on the sample models, and the stage around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.api.choosing import choice_notes
from analyzer.facts.causes import CauseCode
from analyzer.facts.choice import Choice
from tests.models import parse
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


TWO_AXES = """
g (float[N,T,4] x) => (float[N,T,2] y, float[N,2,C] z) {
    m = MatMul(x, w)
    h = Add(m, b)
    a = Relu(h)
    y = MatMul(a, v)
    c = Conv<kernel_shape = [1]>(h, k, d)
    p = Relu(c)
    z = Conv<kernel_shape = [1]>(p, q)
}
"""


@pytest.mark.parametrize("channels", [5, 3])
def test_a_value_that_is_read_along_two_axes_has_causes_of_each(channels: int) -> None:
    """Along features all but one are constant, along tokens none; one was taken for the other."""
    rng, tokens = np.random.default_rng(0), 5

    def drawn(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    w = drawn(4, channels)
    w[:, 1:] = 0
    stored = {"w": w, "b": np.full(channels, -1, np.float32), "v": drawn(channels, 2), "k": drawn(3, tokens, 1)}
    stored |= {"d": np.array([-1e4, 0, 0], np.float32), "q": drawn(2, 3, 1)}
    text = TWO_AXES.replace("T,", f"{tokens},").replace(",C]", f",{channels}]")
    found = analyzer.audit(parse(text, stored), {"x": drawn(60, tokens, 4)})
    causes = {diagnosis.value: diagnosis.causes for diagnosis in found.facts.diagnoses}
    (cause,) = causes["p"]
    assert cause.unit == 0
    assert cause.code is CauseCode.BIAS_DOMINATES
    assert "constant" not in cause.detail


def test_inputs_that_are_infinite_now_and_then_do_vary() -> None:
    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal((64, 6))).astype(np.float32)
    x[::2] = 0
    stored = {"w": np.abs(rng.standard_normal((6, 3))).astype(np.float32), "b": np.array([-99, 99, 99], np.float32)}
    text = "g (float[N,6] x) => (float[N,3] y) { i = Log(x)  h = Gemm(i, w, b)  y = Relu(h) }"
    found = analyzer.audit(parse(text, stored), {"x": x})
    assert CauseCode.INPUT_CONSTANT not in codes(found)


def test_a_choice_by_distance_asks_of_every_dead_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_UNITS", "LEAST_UNITS"):
        monkeypatch.setattr(f"analyzer.causes.diagnose.{name}", 10)
    few = audited("digits_mlp_killed")
    asked = {diagnosis.value: {cause.unit for cause in diagnosis.causes} for diagnosis in few.facts.diagnoses}
    first = few.layers[0]
    left = next(unit for unit in first.dead if unit not in asked[first.value])
    assert any("was not asked (DU028)" in line for line in few.explain_unit(first.value, left))
    choice = Choice(min_distance=1.0)
    whole = analyzer.prune(KILLED / "model.onnx", KILLED / "probe.npz", choice=choice, latency=False).audit
    assert sum(len(diagnosis.causes) for diagnosis in whole.facts.diagnoses) == whole.facts.dead == 100


def test_units_of_unknown_distance_are_said_to_stay() -> None:
    choice = Choice(min_distance=1.0)
    layer = audited("digits_mlp_killed", causes=False).layers[0]
    (note,) = choice_notes([layer], choice)
    assert note.startswith("51 of 51 units that only the probe shows to be dead stay, as it is not known how far")
    assert not choice_notes([replace(layer, distances=(2.0,) * layer.units)], choice)


@pytest.mark.parametrize("rectified", ["Max(h, zero)", "Max(zero, h)", "Clip(h, zero)"])
def test_a_rectifier_is_asked_for_what_enters_it_however_it_is_written(rectified: str) -> None:
    random = np.random.default_rng(2)
    stored = {"w": random.normal(size=(4, 3)), "b": np.array([-50, 0, 1]), "v": np.eye(3), "zero": np.array(0)}
    x = {"x": random.normal(size=(80, 4)).astype(np.float32)}

    def causes(nodes: str) -> Any:
        text = f"g (float[N, 4] x) => (float[N, 3] z) {{ h = Gemm(x, w, b) y = {nodes} z = MatMul(y, v) }}"
        audit = analyzer.audit(parse(text, {n: np.asarray(a, np.float32) for n, a in stored.items()}), x)
        return [diagnosis.causes for diagnosis in audit.facts.diagnoses if diagnosis.value == "y"]

    assert causes(rectified) == causes("Relu(h)")
    assert causes(rectified)[0][0].code is CauseCode.BIAS_DOMINATES
