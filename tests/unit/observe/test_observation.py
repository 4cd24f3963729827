"""What is observed equals what fetching whole activations shows, in every layout and element type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper, parser

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind
from analyzer.graph import Editor, LoadedModel
from analyzer.observe.observation import Observation, observe
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array


def load(text: str, opset: int = 17, **weights: Array) -> LoadedModel:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return load_model(model)


def relu(value: str, axis: int, units: int, rank: int) -> AuditedValue:
    return AuditedValue(value, "", "Relu", Kind.RECTIFIER, axis, units, rank, low=0.0)


def look(loaded: LoadedModel, audited: AuditedValue, data: Any, **options: Any) -> Observation:
    probe = open_probe(data, loaded.graph.inputs)
    return observe(loaded, probe, [audited], measure_shapes(loaded, probe), **options)


def by_hand(loaded: LoadedModel, audited: AuditedValue, data: dict[str, Array]) -> UnitStatistics:
    """Statistics from whole activations, one sample at a time."""
    editor = Editor(loaded.copy())
    editor.output(audited.value)
    total = UnitStatistics.empty(audited.units)
    names = list(loaded.graph.inputs)
    with Session(editor.loaded) as session:
        for i in range(len(data[names[0]])):
            feeds = {
                n: data[n][i : i + 1] if data[n].ndim == len(t.shape or ()) else data[n][i]
                for n, t in loaded.graph.inputs.items()
            }
            array = session.run(feeds, [audited.value])[audited.value].astype(np.float64)
            rows = np.moveaxis(array, audited.axis, 0).reshape(audited.units, -1)
            finite = np.isfinite(rows).all(axis=1)
            low = -np.inf if audited.kind is Kind.LINEAR else audited.low or 0.0
            zeros = np.zeros(audited.units, np.int64)
            total = total.merge(
                UnitStatistics(
                    samples=1,
                    fired=((rows > low).any(axis=1) & finite).astype(np.int64),
                    minimum=np.where(finite, rows.min(axis=1), np.inf),
                    maximum=np.where(finite, rows.max(axis=1), -np.inf),
                    minimum_exact=np.ones(audited.units, np.bool_),
                    low_samples=zeros,
                    high_samples=zeros,
                    flat_samples=zeros,
                    nonfinite=(~finite).astype(np.int64),
                    positions=np.where(finite, rows.shape[1], 0),
                    zeros=np.where(finite, (rows == 0).sum(axis=1), 0),
                    absolute_sum=np.where(finite, np.abs(rows).sum(axis=1), 0.0),
                )
            )
    return total


def check(loaded: LoadedModel, audited: AuditedValue, tolerance: float = 0.0, **data: Array) -> Observation:
    """Hold the observation, in both modes and several batch sizes, against whole activations."""
    truth = by_hand(loaded, audited, data)
    for mode in ("firing", "full"):
        for size in (1, 3, 8):
            seen = look(loaded, audited, data, batch_size=size, statistics=mode)
            assert not seen.unseen
            found = seen.statistics[audited.value]
            assert found.samples == truth.samples
            assert np.array_equal(found.fired, truth.fired)
            assert np.array_equal(found.nonfinite, truth.nonfinite)
            exact = found.minimum_exact
            looked_at = exact | (audited.kind is not Kind.LINEAR)
            np.testing.assert_allclose(found.maximum[looked_at], truth.maximum[looked_at], tolerance, tolerance)
            np.testing.assert_allclose(found.minimum[exact], truth.minimum[exact], tolerance, tolerance)
            assert (found.minimum[~exact] >= truth.minimum[~exact] - tolerance).all()
            constant = truth.minimum == truth.maximum
            assert exact[constant].all()
            assert np.array_equal(found.minimum == found.maximum, constant)
            if mode == "full":
                assert exact.all()
                assert np.array_equal(found.positions, truth.positions)
                assert np.array_equal(found.zeros, truth.zeros)
                np.testing.assert_allclose(found.absolute_sum, truth.absolute_sum, rtol=1e-5)
    return seen


def shifted(*shape: int, axis: int, seed: int = 1) -> Array:
    """Numbers whose units are: dead, alive, always on, then alive."""
    array = np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)
    shift = np.zeros(shape[axis], np.float32)
    shift[0], shift[2] = -10, 10
    return array + np.expand_dims(shift, tuple(i for i in range(len(shape)) if i != axis))


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 18, 21])
def test_channels_first_in_every_opset(opset: int) -> None:
    loaded = load("g (float[N, 5, 4, 4] x) => (float[N, 5, 4, 4] y) { r = Relu(x)  y = Neg(r) }", opset)
    check(loaded, relu("r", 1, 5, 4), x=shifted(20, 5, 4, 4, axis=1))


@pytest.mark.parametrize(
    ("dims", "axis"),
    [((6,), 1), ((6, 9), 1), ((7, 6), 2), ((3, 4, 6), 3), ((6, 3, 2, 2), 1), ((4, 6, 2), 2)],
    ids=str,
)
def test_every_place_of_the_unit_axis(dims: tuple[int, ...], axis: int) -> None:
    declared = ", ".join(map(str, dims))
    loaded = load(f"g (float[N, {declared}] x) => (float[N, {declared}] y) {{ r = Relu(x)  y = Neg(r) }}")
    check(loaded, relu("r", axis, 6, len(dims) + 1), x=shifted(20, *dims, axis=axis))


def test_time_major_values() -> None:
    loaded = load("g (float[N, 7, 5] x) => (float[7, N, 5] y) { t = Transpose<perm=[1, 0, 2]>(x)  y = Relu(t) }")
    seen = check(loaded, relu("y", 2, 5, 3), x=shifted(20, 7, 5, axis=2))
    assert seen.batched


def test_units_before_samples() -> None:
    loaded = load("g (float[N, 5] x) => (float[5, N] y) { t = Transpose<perm=[1, 0]>(x)  y = Relu(t) }")
    check(loaded, relu("y", 0, 5, 2), x=shifted(20, 5, axis=1))


def test_rows_folded_into_the_sample_axis() -> None:
    text = "g (float[N, 7, 5] x) => (float[N, 7, 5] y) { f = Reshape(x, a)  r = Relu(f)  y = Reshape(r, b) }"
    loaded = load(text, a=np.array([-1, 5]), b=np.array([-1, 7, 5]))
    seen = check(loaded, relu("r", 1, 5, 2), x=shifted(20, 7, 5, axis=2))
    assert seen.batched


def test_a_rank_1_model() -> None:
    loaded = load("g (float[5] x) => (float[5] y) { r = Relu(x)  y = Neg(r) }")
    seen = check(loaded, relu("r", 0, 5, 1), x=shifted(20, 5, axis=1))
    assert not seen.batched


def test_a_fixed_batch_of_one_that_can_be_freed() -> None:
    loaded = load("g (float[1, 5, 4] x) => (float[1, 5, 4] y) { r = Relu(x)  y = Neg(r) }")
    assert check(loaded, relu("r", 1, 5, 3), x=shifted(20, 5, 4, axis=1)).samples == 20
    data = {"x": shifted(20, 5, 4, axis=1)}
    assert look(loaded, relu("r", 1, 5, 3), data).batched


def test_a_fixed_batch_of_one_that_cannot_be_freed() -> None:
    text = "g (float[1, 5, 4] x) => (float[1, 20] y) { r = Relu(x)  y = Reshape(r, s) }"
    loaded = load(text, s=np.array([1, 20]))
    data = {"x": shifted(20, 5, 4, axis=1)}
    check(loaded, relu("r", 1, 5, 3), x=data["x"])
    assert not look(loaded, relu("r", 1, 5, 3), data).batched


def test_a_fixed_batch_of_several_still_finds_the_dead() -> None:
    text = "g (float[4, 5] x) => (float[2, 10] y) { r = Relu(x)  y = Reshape(r, s) }"
    data = shifted(8, 5, axis=1)
    seen = look(load(text, s=np.array([2, 10])), relu("r", 1, 5, 2), {"x": data})
    found = seen.statistics["r"]
    assert found.samples == 2
    assert np.array_equal(found.maximum, np.maximum(data, 0).max(axis=0))
    assert np.array_equal(found.fired == 0, (data <= 0).all(axis=0))


@pytest.mark.parametrize("dtype", ["float16", "double", "bfloat16"])
def test_other_float_types(dtype: str) -> None:
    loaded = load(
        f"g ({dtype}[N, 5, 4, 4] x) => ({dtype}[N, 5, 4, 4] y) {{ f = Cast<to=1>(x)  r = Relu(f)"
        f" y = Cast<to={ {'float16': 10, 'double': 11, 'bfloat16': 16}[dtype] }>(r) }}"
    )
    types = {"float16": np.float16, "double": np.float64, "bfloat16": ml_dtypes.bfloat16}
    data = shifted(12, 5, 4, 4, axis=1).astype(types[dtype])
    check(loaded, relu("y", 1, 5, 4), x=data)


def test_doubles_keep_their_digits() -> None:
    loaded = load("g (double[N, 3, 4] x) => (double[N, 3, 4] y) { y = Relu(x) }")
    data = np.ones((6, 3, 4)) + np.random.default_rng(0).random((6, 3, 4)) * 1e-12
    check(loaded, relu("y", 1, 3, 3), x=data)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_quantized_values_are_judged_by_their_stored_numbers(dtype: str) -> None:
    loaded = load(f"g ({dtype}[N, 5, 4] x) => ({dtype}[N, 5, 4] y) {{ y = Identity(x) }}")
    data = np.random.default_rng(0).integers(100, 128, (12, 5, 4)).astype(dtype)
    data[:, 1] = 100
    audited = AuditedValue("y", "", "QuantizeLinear", Kind.RECTIFIER, 1, 5, 3, low=100.0)
    found = check(loaded, audited, x=data).statistics["y"]
    assert found.fired[1] == 0


def test_convolutions_in_onnxruntimes_own_layout() -> None:
    random = np.random.default_rng(2)
    weights = random.integers(-2, 3, (16, 16, 3, 3)).astype(np.float32)
    bias = np.where(np.arange(16) % 3 == 0, -1e4, 0).astype(np.float32)
    loaded = load(
        """g (float[N, 16, 8, 8] x) => (float[N, 16, P, Q] y) {
        a = Conv<pads=[1, 1, 1, 1]>(x, W, B)  r = Relu(a)  b = Conv(r, W)  s = Add(b, b)  y = Relu(s) }""",
        W=weights,
        B=bias,
    )
    data = random.integers(-3, 4, (20, 16, 8, 8)).astype(np.float32)
    found = check(loaded, relu("r", 1, 16, 4), x=data).statistics["r"]
    assert np.array_equal(found.fired == 0, np.arange(16) % 3 == 0)
    check(loaded, AuditedValue("b", "", "Conv", Kind.LINEAR, 1, 16, 4), x=data)


def test_a_map_that_fires_at_one_position_of_one_sample_is_alive() -> None:
    loaded = load("g (float[N, 4, 9, 9] x) => (float[N, 4, 9, 9] y) { r = Relu(x)  y = Neg(r) }")
    data = -np.ones((40, 4, 9, 9), np.float32)
    data[33, 2, 8, 0] = 1e-30
    found = look(loaded, relu("r", 1, 4, 4), {"x": data}).statistics["r"]
    assert found.fired.tolist() == [0, 0, 1, 0]
    assert found.maximum[2] > 0


def test_a_unit_that_is_constant_until_the_last_sample_is_not_constant() -> None:
    loaded = load("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { r = Relu(x)  y = Neg(r) }")
    data = np.full((50, 3, 4), 2, np.float32)
    data[49, 1, 3] = 1
    found = look(loaded, relu("r", 1, 3, 3), {"x": data}).statistics["r"]
    assert found.minimum.tolist() == [2, 1, 2]
    assert found.maximum.tolist() == [2, 2, 2]
    assert found.minimum_exact.all()


def test_values_without_samples_count_for_every_sample() -> None:
    text = "g (float[N, 3] x) => (float[N, 3] y) { w = Relu(W)  y = Add(x, w) }"
    loaded = load(text, W=np.array([[-1, 0, 2]], np.float32))
    found = look(loaded, relu("w", 1, 3, 2), {"x": shifted(10, 3, axis=1)}).statistics["w"]
    assert found.samples == 10
    assert found.fired.tolist() == [0, 0, 10]


def test_one_number_for_each_sample_is_a_single_unit() -> None:
    loaded = load("g (float[N, 1] x) => (float[N] y) { s = Squeeze(x, a)  r = Relu(s)  y = Neg(r) }", a=np.array([1]))
    data = np.where(np.arange(20) == 13, 2, -1).astype(np.float32)[:, None]
    seen = look(loaded, relu("r", 0, 1, 1), {"x": data})
    assert not seen.unseen
    found = seen.statistics["r"]
    assert (found.samples, *found.fired, *found.minimum, *found.maximum) == (20, 1, 0, 2)


def test_a_value_that_the_run_cannot_show_is_named() -> None:
    loaded = load("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }")
    seen = look(loaded, relu("nowhere", 1, 3, 2), {"x": shifted(4, 3, axis=1)})
    assert seen.unseen == ("nowhere",)
    assert not seen.statistics
    assert seen.samples == 4


def test_progress_counts_samples() -> None:
    loaded = load("g (float[N, 3] x) => (float[N, 3] y) { r = Relu(x)  y = Neg(r) }")
    calls: list[tuple[int, int | None]] = []
    data = {"x": shifted(20, 3, axis=1)}
    look(loaded, relu("r", 1, 3, 2), data, progress=lambda *c: calls.append(c), batch_size=8)
    assert calls == [(8, 20), (16, 20), (20, 20)]


def test_a_generator_that_can_be_read_once_is_enough() -> None:
    loaded = load("g (float[N, 5, 4] x) => (float[N, 5, 4] y) { r = Relu(x)  y = Neg(r) }")
    data = shifted(20, 5, 4, axis=1)
    found = look(loaded, relu("r", 1, 5, 3), ({"x": x[np.newaxis]} for x in data)).statistics["r"]
    assert found.samples == 20
    assert np.array_equal(found.maximum, np.maximum(data, 0).max(axis=(0, 2)))
