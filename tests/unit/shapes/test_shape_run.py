"""Shapes come from real runs, and batches are trusted only where running shows that they give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

import analyzer
from analyzer.errors import ModelError, RunError
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.probes.probe import Probe, open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.batching import BatchPlan, plan_batches
from analyzer.shapes.shape_run import measure_shapes
from tests.models import parse

RANDOM = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _the_same_numbers_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RANDOM", np.random.default_rng(5))


@pytest.mark.parametrize("data", [None, np.ones((2, 4), np.float32)])
def test_values_of_more_axes_than_arrays_have_are_refused(data: object) -> None:
    text = (
        "g (float[n, 4] x) => (float[n, 4] y) { r = Relu (x) s = Reshape (r, many) t = Relu (s) y = Reshape (t, few) }"
    )
    stored = {"many": np.array([-1, *[1] * 63, 4]), "few": np.array([-1, 4])}
    with pytest.raises(ModelError, match="The value 's' has 65 axes, more than the 64 of arrays"):
        analyzer.audit(parse(text, stored), data)
    assert analyzer.audit(parse(text, stored | {"many": np.array([-1, *[1] * 62, 4])}), data).facts.units


def test_stored_tensors_of_more_axes_than_arrays_have_are_refused() -> None:
    model = parse("g (float[4] x) => (float[4] y) { y = Mul (x, w) }", {"w": np.ones(4, np.float32)})
    model.graph.initializer[0].dims[:] = [*[1] * 64, 4]
    with pytest.raises(ModelError, match="stored tensor w has 65 axes, more than the 64 of NumPy's arrays"):
        analyzer.audit(model)


def load(text: str, opset: int = 17) -> LoadedModel:
    return load_model(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}'))


def given(loaded: LoadedModel, **arrays: Any) -> Probe:
    return open_probe(arrays, loaded.graph.inputs)


def numbers(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def measured(text: str, **arrays: Any) -> ShapeTable:
    loaded = load(text)
    return measure_shapes(loaded, given(loaded, **arrays))


def test_every_value_has_its_shape_for_one_sample() -> None:
    table = measured(
        """g (float[N, 3] x) => (float[N, 4] y)
        <float[3, 4] W = {1,2,3,4,5,6,7,8,9,10,11,12}> { h = MatMul(x, W)  y = Relu(h) }""",
        x=numbers(5, 3),
    )
    assert table.shapes == {"x": (1, 3), "W": (3, 4), "h": (1, 4), "y": (1, 4)}
    assert table.sample_axes["h"] == SampleAxis(0)
    assert table.sample_axes["W"] == SampleAxis(None)
    assert table.dtypes["h"] == "float32"
    assert table.batchable
    assert not table.free_inputs


def test_a_time_major_value_has_its_samples_along_axis_1() -> None:
    table = measured(
        "g (float[N, 7, 3] x) => (float[7, N, 3] y) { y = Transpose<perm=[1, 0, 2]>(x) }", x=numbers(4, 7, 3)
    )
    assert table.sample_axes["y"] == SampleAxis(1)


def test_rows_folded_into_the_sample_axis_are_counted() -> None:
    table = measured(
        """g (float[N, 7, 3] x) => (float[N, 7, 3] y) <int64[2] flat = {-1, 3}, int64[3] back = {-1, 7, 3}>
        { f = Reshape(x, flat)  r = Relu(f)  y = Reshape(r, back) }""",
        x=numbers(4, 7, 3),
    )
    assert table.shapes["r"] == (7, 3)
    assert table.sample_axes["r"] == SampleAxis(0, rows=7)
    assert not table.scrambled


def test_folded_rows_that_are_not_sample_major_are_found_out() -> None:
    text = """g (float[N, 7, 3] x) => (float[N, 7, 3] y)
        <int64[2] flat = {-1, 3}, int64[3] back = {7, -1, 3}>
        { t = Transpose<perm=[1, 0, 2]>(x)  f = Reshape(t, flat)  r = Relu(f)
          b = Reshape(r, back)  y = Transpose<perm=[1, 0, 2]>(b) }"""
    loaded = load(text)
    probe = given(loaded, x=numbers(4, 7, 3))
    table = measure_shapes(loaded, probe)
    assert table.scrambled == {"f": 0, "r": 0}
    assert table.dynamic == {"f": frozenset({0}), "r": frozenset({0})}
    assert table.sample_axes["r"] == SampleAxis(None)
    assert plan_batches(table, probe, 8) == BatchPlan(1)
    stated = measure_shapes(loaded, probe, independent=True)
    assert plan_batches(stated, probe, 8) == BatchPlan(8)
    assert plan_batches(stated, probe, 8, ["r"]) == BatchPlan(1)


def test_a_fixed_batch_of_one_is_freed_where_that_gives_the_same() -> None:
    text = "g (float[1, 3] x) => (float[1, 3] y) { r = Relu(x)  y = Neg(r) }"
    loaded = load(text)
    probe = given(loaded, x=numbers(5, 3))
    table = measure_shapes(loaded, probe)
    assert table.free_inputs == ("x",)
    assert plan_batches(table, probe, 4) == BatchPlan(4, ("x",))


@pytest.mark.parametrize(
    "body",
    [
        "m = ReduceMean<axes=[0], keepdims=1>(x)  y = Sub(x, m)",  # mixes samples
        "s = Softmax<axis=0>(x)  y = Relu(s)",  # mixes samples
        "y = Reshape(x, one)",  # fails for two
    ],
)
def test_samples_that_influence_each_other_are_fed_one_by_one(body: str) -> None:
    text = f"g (float[1, 4] x) => (float[1, 4] y) <int64[2] one = {{1, 4}}> {{ {body} }}"
    loaded = load(text)
    probe = given(loaded, x=numbers(5, 4))
    table = measure_shapes(loaded, probe)
    assert not table.batchable
    assert plan_batches(table, probe, 8) == BatchPlan(1)
    assert set(table.sample_axes.values()) == {SampleAxis(None)}


def test_a_free_batch_that_mixes_samples_is_not_believed() -> None:
    table = measured(
        "g (float[N, 4] x) => (float[N, 4] y) { m = ReduceMax<axes=[0], keepdims=1>(x)  y = Sub(x, m) }",
        x=numbers(5, 4),
    )
    assert not table.batchable


def test_values_through_which_samples_influence_each_other_are_named() -> None:
    table = measured(
        """g (float[N, 4] x) => (float[N, 4] y)
        { a = Relu(x)  m = ReduceMean<axes=[0], keepdims=1>(a)  c = Sub(a, m)  d = Greater(c, m)  y = Relu(c) }""",
        x=numbers(5, 4),
    )
    assert not table.batchable
    assert table.mixed == {"m", "c", "d", "y"}


@pytest.mark.parametrize(
    "body",
    [
        "n = RandomNormalLike(x)  y = Add(x, n)",  # differs from run to run
        "y = Reshape(x, one)",  # fails for two
        "f = Flatten<axis=0>(x)  y = Relu(f)",  # shows two samples in one row
        "q, s, z = DynamicQuantizeLinear(x)  y = DequantizeLinear(q, s, z)",  # rounds by the largest of the batch
        "y = Relu(x)",
    ],
)
def test_samples_that_merely_cannot_share_a_feed_do_not_mix(body: str) -> None:
    text = f"g (float[N, 4] x) => (float[N, 4] y) <int64[2] one = {{1, 4}}> {{ {body} }}"
    assert measured(text, x=numbers(5, 4)).mixed == frozenset()


def test_values_that_samples_influence_by_a_shared_scale_are_named_apart_from_the_rest() -> None:
    rows = numbers(5, 4) * np.array([[1], [1000], [1], [1], [1]], np.float32)
    rounded = "q, s, z = DynamicQuantizeLinear(x)  y = DequantizeLinear(q, s, z)"
    table = measured(f"g (float[N, 4] x) => (float[N, 4] y) {{ {rounded} }}", x=rows)
    assert not table.batchable
    assert table.scaled_together == {"y"}
    assert not table.mixed
    first = "m = ReduceMean<axes=[0], keepdims=1>(i)  x = Sub(i, m)"
    table = measured(f"g (float[N, 4] i) => (float[N, 4] y) {{ {first}  {rounded} }}", i=rows)
    assert {"x", "q", "s", "z", "y"} == table.mixed
    assert not table.scaled_together


def test_a_model_that_takes_one_sample_only_cannot_mix_two() -> None:
    table = measured(
        "g (float[1, 4] x) => (float[1, 4] y) { m = ReduceMean<axes=[0], keepdims=1>(x)  y = Sub(x, m) }",
        x=numbers(5, 4),
    )
    assert table.mixed == frozenset()


def test_a_rank_1_model_has_no_sample_axis() -> None:
    table = measured("g (float[4] x) => (float[4] y) { y = Relu(x) }", x=numbers(5, 4))
    assert table.shapes["y"] == (4,)
    assert not table.batchable
    assert table.sample_axes["y"] == SampleAxis(None)


def test_a_fixed_batch_of_several_is_kept_as_it_is() -> None:
    text = "g (float[4, 3] x) => (float[2, 6] y) <int64[2] s = {2, 6}> { r = Relu(x)  y = Reshape(r, s) }"
    loaded = load(text)
    probe = given(loaded, x=numbers(8, 3))
    table = measure_shapes(loaded, probe)
    assert table.samples == 4
    assert plan_batches(table, probe, 8) == BatchPlan(4, inseparable=4)


def test_sequences_have_no_shape_and_break_nothing() -> None:
    table = measured(
        """g (float[N, 4] x) => (float[N, 4] y) <int64 zero = {0}>
        { q = SequenceConstruct(x, x)  e = SequenceAt(q, zero)  y = Relu(e) }""",
        x=numbers(3, 4),
    )
    assert "q" not in table.shapes
    assert table.shapes["e"] == (1, 4)


def test_a_single_sample_is_not_batched() -> None:
    assert not measured("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }", x=numbers(1, 3)).batchable


def test_without_a_probe_free_dims_are_guessed() -> None:
    table = measure_shapes(load("g (float[N, 3, T] x) => (float[N, 3, T] y) { y = Relu(x) }"), None)
    assert table.shapes["y"] == (1, 3, 32)
    assert table.sample_axes["y"] == SampleAxis(0)


def test_without_a_probe_a_guess_that_fails_is_followed_by_others() -> None:
    text = """g (float[N, 1, H, H] x) => (float[N, 1, P, P] y) <float[1, 1, 40, 40] W>
        { y = Conv(x, W) }"""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    del model.graph.initializer[:]
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 40, 40), np.float32), "W"))
    assert measure_shapes(load_model(model), None).shapes["y"] == (1, 1, 25, 25)


def test_without_a_probe_a_model_that_cannot_run_has_its_static_shapes() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "odd" : 1]> '
        "g (float[2, 3] x) => (float[2, 3] y) { r = Relu(x)  y = odd.Thing(r) }"
    )
    table = measure_shapes(load_model(model), None)
    assert table.shapes["r"] == (2, 3)
    assert not table.batchable


def test_a_model_that_fails_on_the_probe_raises() -> None:
    text = "g (float[N, 4] x) => (float[M, 3] y) <int64[2] s = {-1, 3}> { y = Reshape(x, s) }"
    loaded = load(text)
    with pytest.raises(RunError, match="Reshape"):
        measure_shapes(loaded, given(loaded, x=numbers(1, 4)))
