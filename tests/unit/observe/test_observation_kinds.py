"""Saturation, always-on and linear units, and what is looked at how long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, Curve, Kind
from analyzer.graph import LoadedModel
from analyzer.observe.observation import observe
from analyzer.observe.unit_row import flat_edges
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array

RANDOM = np.random.default_rng(7)


def load(text: str, **weights: Array) -> LoadedModel:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return load_model(model)


def look(loaded: LoadedModel, audited: AuditedValue, data: Array, **options: Any) -> UnitStatistics:
    probe = open_probe({"x": data}, loaded.graph.inputs)
    seen = observe(loaded, probe, [audited], measure_shapes(loaded, probe), **options)
    return seen.statistics[audited.value]


SIGMOID = AuditedValue("y", "", "Sigmoid", Kind.SATURATING, 1, 3, 3, low=0.0, high=1.0, curve=Curve.SIGMOID)
TANH = AuditedValue("y", "", "Tanh", Kind.SATURATING, 1, 3, 3, low=-1.0, high=1.0)
SOFTSIGN = AuditedValue("y", "", "Softsign", Kind.SATURATING, 1, 3, 3, low=-1.0, high=1.0, curve=Curve.SOFTSIGN)


def gradient(op: str, x: Array) -> Array:
    if op == "Sigmoid":
        return np.asarray(np.exp(-x) / (1 + np.exp(-x)) ** 2)
    return np.asarray(1 - np.tanh(x) ** 2 if op == "Tanh" else 1 / (1 + np.abs(x)) ** 2)


@pytest.mark.parametrize("audited", [SIGMOID, TANH, SOFTSIGN], ids=lambda a: a.op)
@pytest.mark.parametrize("flat_gradient", [1e-3, 0.05])
def test_flat_samples_are_those_whose_every_position_has_a_small_gradient(
    audited: AuditedValue, flat_gradient: float
) -> None:
    loaded = load(f"g (float[N, 3, 4] x) => (float[N, 3, 4] y) {{ y = {audited.op}(x) }}")
    data = RANDOM.normal(0, 60, (40, 3, 4)).astype(np.float32)
    found = look(loaded, audited, data, thresholds=Thresholds(flat_gradient=flat_gradient))
    flat = gradient(audited.op, data.astype(np.float64)) < flat_gradient
    assert np.array_equal(found.low_samples, (flat & (data < 0)).all(axis=2).sum(axis=0))
    assert np.array_equal(found.high_samples, (flat & (data > 0)).all(axis=2).sum(axis=0))
    assert found.flat_samples.tolist() == [40, 40, 40]
    assert found.minimum_exact.all()


def test_flat_edges_follow_the_asymptotes() -> None:
    low, high = flat_edges(AuditedValue("y", "", "Tanh", Kind.SATURATING, 1, 1, 2, low=-2.0, high=2.0), 1e-3)
    assert (low, high) == pytest.approx((-2 * np.sqrt(0.999), 2 * np.sqrt(0.999)))
    assert flat_edges(AuditedValue("y", "", "Relu", Kind.RECTIFIER, 1, 1, 2, low=0.0), 1e-3) == (
        -np.inf,
        np.inf,
    )


RELU = AuditedValue("r", "", "Relu", Kind.RECTIFIER, 1, 3, 3, low=0.0)
RELU_MODEL = "g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = Relu(x)  y = Neg(r) }"


def test_an_always_on_unit_is_looked_at_on_every_sample() -> None:
    data = np.abs(RANDOM.standard_normal((60, 3, 4))).astype(np.float32) + 1
    data[:, 0] -= 2
    found = look(load(RELU_MODEL), RELU, data)
    assert found.minimum[1:] == pytest.approx(data.min(axis=(0, 2))[1:])
    assert found.minimum[0] == 0
    assert found.minimum_exact.all()


def test_a_cleared_smooth_unit_keeps_an_upper_bound_of_its_minimum() -> None:
    audited = AuditedValue("r", "", "LeakyRelu", Kind.SMOOTH, 1, 3, 3)
    loaded = load("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = LeakyRelu(x)  y = Neg(r) }")
    data = RANDOM.standard_normal((60, 3, 4)).astype(np.float32)
    data[:, 1] = 0.5
    data[50] = -100
    data[50, 1] = 0.5
    found = look(loaded, audited, data)
    # Unit 1 is constant, so its value is looked at to the end; without it nothing would be.
    assert found.minimum_exact.all()
    assert found.minimum[1] == found.maximum[1] == 0.5
    data[0, 1] = 0
    cleared = look(loaded, audited, data)
    assert not cleared.minimum_exact.any()
    assert (cleared.minimum < cleared.maximum).all()
    assert np.array_equal(cleared.maximum, np.where(data > 0, data, 0).max(axis=(0, 2)))
    full = look(loaded, audited, data, statistics="full")
    assert full.minimum_exact.all()
    assert full.minimum[0] == pytest.approx(-1.0)


def test_a_smooth_unit_that_varies_by_rounding_only_stays_under_suspicion() -> None:
    audited = AuditedValue("r", "", "Softplus", Kind.SMOOTH, 1, 3, 3)
    loaded = load("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = Identity(x)  y = Neg(r) }")
    data = np.ones((60, 3, 4), np.float32)
    data[::2] += np.finfo(np.float32).eps
    data[:, 2] = RANDOM.standard_normal((60, 4))
    data[59, 1] = 2
    found = look(loaded, audited, data)
    assert found.minimum_exact.all()
    assert found.maximum[0] - found.minimum[0] == np.finfo(np.float32).eps


def test_a_linear_value_fires_always_and_is_left_alone_once_it_varies() -> None:
    audited = AuditedValue("r", "", "Conv", Kind.LINEAR, 1, 3, 3)
    loaded = load("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = Identity(x)  y = Neg(r) }")
    data = -np.abs(RANDOM.standard_normal((60, 3, 4))).astype(np.float32)
    data[50] = 9
    found = look(loaded, audited, data)
    assert found.fired.tolist() == [60, 60, 60]
    assert found.samples == 60
    assert not found.minimum_exact.any()
    assert (found.maximum < 9).all()
    assert (found.minimum < found.maximum).all()


def test_a_clip_that_sits_at_its_upper_bound_is_constant_and_fires() -> None:
    audited = AuditedValue("r", "", "Clip", Kind.RECTIFIER, 1, 3, 3, low=0.0, high=6.0)
    loaded = load(
        "g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = Clip(x, lo, hi)  y = Neg(r) }",
        lo=np.array(0, np.float32),
        hi=np.array(6, np.float32),
    )
    data = RANDOM.standard_normal((40, 3, 4)).astype(np.float32)
    data[:, 1] += 100
    found = look(loaded, audited, data)
    assert found.minimum[1] == found.maximum[1] == 6
    assert found.minimum_exact[1]
    assert found.fired[1] == 40


def test_full_statistics_count_positions() -> None:
    data = RANDOM.standard_normal((10, 3, 4)).astype(np.float32)
    found = look(load(RELU_MODEL), RELU, data, statistics="full")
    assert found.positions.tolist() == [40, 40, 40]
    assert np.array_equal(found.zeros, (data <= 0).sum(axis=(0, 2)))
    assert found.absolute_sum == pytest.approx(np.maximum(data, 0).sum(axis=(0, 2)))


def test_samples_of_differing_length_have_their_own_positions() -> None:
    loaded = load("g (float[1, 3, T] x) => (float[1, 3, T] y) { r = Relu(x)  y = Neg(r) }")
    feeds = [{"x": RANDOM.standard_normal((1, 3, n)).astype(np.float32)} for n in (4, 9, 2)]
    probe = open_probe(feeds, loaded.graph.inputs)
    seen = observe(loaded, probe, [RELU], measure_shapes(loaded, probe), statistics="full")
    assert seen.statistics["r"].positions.tolist() == [15, 15, 15]
    assert seen.statistics["r"].maximum == pytest.approx(
        np.max([np.maximum(f["x"], 0).max(axis=(0, 2)) for f in feeds], axis=0)
    )
