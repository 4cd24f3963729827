"""The second pass measures what fetching whole values shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.facts.spread import Spread, Watched, along
from analyzer.observe import suspects
from analyzer.observe.suspects import measure_spread
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, all_values, parse

TEXT = "m (float[N,2,5,5] X) => (float[N,3] Y) {C = Conv(X, K, B) R = Relu(C) P = GlobalMaxPool(R) Y = Flatten(P)}"


def model(opset: int = 18) -> Any:
    rng = np.random.default_rng(3)
    stored = {"K": rng.normal(size=(3, 2, 3, 3)).astype(np.float32), "B": np.array([0, 100, -1e4], np.float32)}
    return parse(TEXT, stored, opset)


def measured(watched: list[Watched], data: Array, opset: int = 18, batch_size: int = 8) -> dict[str, Spread]:
    loaded = load_model(model(opset))
    probe = open_probe({"X": data}, loaded.graph.inputs)
    return measure_spread(loaded, probe, watched, measure_shapes(loaded, probe), batch_size=batch_size)


def data(samples: int = 21) -> Array:
    return np.random.default_rng(4).normal(size=(samples, 2, 5, 5)).astype(np.float32)


@pytest.mark.parametrize("opset", [12, 13, 18])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_extremes_mean_and_deviation_over_samples_and_positions(opset: int, batch_size: int) -> None:
    samples = data()
    whole = all_values(model(), {"X": samples})["C"].astype(np.float64)
    found = measured([Watched("C", 1, 3, 4)], samples, opset, batch_size)["C"]
    np.testing.assert_allclose(found.maximum, whole.max(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.minimum, whole.min(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.mean, whole.mean(axis=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.deviation, whole.std(axis=(0, 2, 3)), rtol=1e-4)


def test_only_the_chosen_indices_are_measured_where_that_is_worth_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = data()
    whole = all_values(model(), {"X": samples})["C"].astype(np.float64)
    assert not np.isnan(measured([Watched("C", 1, 3, 4, (2,))], samples)["C"].maximum).any()
    monkeypatch.setattr(suspects, "WORTH_A_NODE", 0)
    found = measured([Watched("C", 1, 3, 4, (2,))], samples)["C"]
    assert np.isnan(found.maximum[:2]).all()
    assert found.maximum[2] == pytest.approx(whole[:, 2].max())


@pytest.mark.parametrize("ir_version", [3, 8])
@pytest.mark.parametrize("opset", [7, 9])
def test_indices_are_picked_in_models_of_every_ir_version(
    ir_version: int, opset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before IR version 4, onnxruntime refuses a stored tensor that nothing reads."""
    monkeypatch.setattr(suspects, "WORTH_A_NODE", 0)
    proto, samples = model(opset), data()
    proto.ir_version = ir_version
    whole = all_values(proto, {"X": samples})["C"].astype(np.float64)
    loaded = load_model(proto)
    probe = open_probe({"X": samples}, loaded.graph.inputs)
    found = measure_spread(loaded, probe, [Watched("C", 1, 3, 4, (2,))], measure_shapes(loaded, probe))["C"]
    assert found.maximum[2] == pytest.approx(whole[:, 2].max())
    assert found.deviation[2] == pytest.approx(whole[:, 2].std(), rel=1e-4)


def test_a_graph_input_can_be_measured() -> None:
    samples = data()
    found = measured([Watched("X", 1, 2, 4)], samples)["X"]
    np.testing.assert_allclose(found.maximum, samples.max(axis=(0, 2, 3)))


def test_a_value_of_another_shape_is_left_out() -> None:
    assert measured([Watched("C", 1, 7, 4), Watched("none", 1, 3, 4)], data()) == {}


def test_what_does_not_vary_is_told_from_what_does() -> None:
    inf, nan = np.inf, np.nan
    highest, lowest = np.array([1, 1, nan, 1, inf, inf]), np.array([1, 0, nan, -inf, 0, inf])
    spread = Spread(highest, lowest, np.zeros(6), np.zeros(6))
    assert spread.varies.tolist() == [False, True, False, True, True, False]


def test_what_was_measured_along_another_axis_says_nothing() -> None:
    spread = Spread(*np.zeros((4, 3)), axis=1)  # type: ignore[misc]
    assert along({"a": spread}, "a", 1) is spread
    assert along({"a": spread}, "a", 2) is None
    assert along({"a": spread}, "b", 1) is along({"a": spread}, None, 1) is None


def test_small_values_are_measured_together() -> None:
    """Those of one form share their reductions, however many there are; those of another form have their own."""
    rng = np.random.default_rng(6)
    steps = " ".join(f"C{i} = Conv(R{i}, K) R{i + 1} = Relu(C{i})" for i in range(5))
    text = f"m (float[N,3,6,6] X) => (float[N,4] Z) {{R0 = Identity(X) {steps} F = Flatten(R5) Z = MatMul(F, W)}}"
    stored = {"K": rng.normal(size=(3, 3, 1, 1)), "W": rng.normal(size=(108, 4))}
    proto = parse(text, {name: array.astype(np.float32) for name, array in stored.items()})
    samples = rng.normal(size=(11, 3, 6, 6)).astype(np.float32)
    whole = all_values(proto, {"X": samples})
    loaded = load_model(proto)
    probe = open_probe({"X": samples}, loaded.graph.inputs)
    watched = [*(Watched(f"C{i}", 1, 3, 4) for i in range(5)), Watched("Z", 1, 4, 2)]
    shapes = measure_shapes(loaded, probe)
    targets = suspects._targets(loaded, watched, shapes, batched=True)
    groups = suspects._together(targets, shapes, fixed=True)
    assert [len(group) for group in groups] == [5, 1]
    for name, spread in measure_spread(loaded, probe, watched, shapes, batch_size=4).items():
        axes = (0, *range(2, whole[name].ndim))
        np.testing.assert_allclose(spread.maximum, whole[name].max(axis=axes), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(spread.deviation, whole[name].astype(np.float64).std(axis=axes), rtol=1e-4)


def test_no_digits_of_a_deviation_are_lost_where_numbers_are_large_beside_it() -> None:
    far = np.array([3e4, -5e3]).reshape(1, 2, 1, 1)
    samples = (np.random.default_rng(8).normal(size=(40, 2, 5, 5)) + far).astype(np.float32)
    found = measured([Watched("X", 1, 2, 4)], samples)["X"]
    expected = samples.astype(np.float64)
    np.testing.assert_allclose(found.deviation, expected.std(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.mean, expected.mean(axis=(0, 2, 3)), rtol=1e-9)
