"""Bridges at joins, merged twins, merged linear layers: each on the written model, against the original."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import ProbeError
from analyzer.facts.choice import Choice
from tests.models import Array, parse, run

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    global RNG
    RNG = np.random.default_rng(7)


def weights(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def images(samples: int = 12) -> Array:
    return RNG.standard_normal((samples, 3, 6, 6)).astype(np.float32)


def pruned_and_compared(model: onnx.ModelProto, x: Array, choice: Choice) -> tuple[onnx.ModelProto, analyzer.Pruned]:
    result = analyzer.prune(model, {"x": x}, choice=choice, latency=False)
    smaller = onnx.ModelProto.FromString(result.data)
    before, after = run(model, {"x": x}), run(smaller, {"x": x})
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=0, atol=2e-5 * np.abs(array).max())
    return smaller, result


@pytest.mark.parametrize(("rests", "in_front"), [(-100.0, 27), (3.0, 29)])  # other constants would have to be stored
def test_units_that_share_a_block_with_others_go_in_front_of_it(rests: float, in_front: int) -> None:
    bias = weights(32)
    bias[[1, 5, 20, 21, 30]] = rests
    w = weights(8, 32)
    w[:, [1, 5, 20, 21, 30]] = 0
    stored = {
        "w": w, "b": bias, "q": RNG.integers(0, 256, (4, 2, 8)).astype(np.uint8),
        "s": np.asarray(RNG.random((4, 2)), np.float32),
    }  # fmt: skip
    model = parse(
        """blocks (float[n,8] x) => (float[n,4] y) {
            h = Gemm(x, w, b)
            r = Relu(h)
            y = com.microsoft.MatMulNBits<K=32, N=4, bits=4, block_size=16>(r, q, s)
        }""",
        stored,
    )
    x = weights(12, 8)
    for choice, units in ((Choice(residual="params"), in_front), (Choice(), 29)):  # those of the last block go anyway
        smaller, _ = pruned_and_compared(model, x, choice)
        assert next(list(t.dims) for t in smaller.graph.initializer if t.name == "w") == [8, units]


def residual(dead_in_branch: int = 5) -> onnx.ModelProto:
    """Stem, a ReLU of which some channels are dead, read by a convolution and by the Add behind it."""
    stem_bias = weights(8)
    stem_bias[:dead_in_branch] = -100
    stored = {
        "w0": weights(8, 3, 3, 3), "b0": stem_bias,
        "w1": weights(8, 8, 3, 3), "b1": weights(8), "w2": weights(4, 8, 1, 1),
    }  # fmt: skip
    return parse(
        """stem (float[n,3,6,6] x) => (float[n,4,6,6] y) {
            s = Conv<pads=[1,1,1,1]>(x, w0, b0)
            r = Relu(s)
            c = Conv<pads=[1,1,1,1]>(r, w1, b1)
            a = Add(r, c)
            y = Conv(a, w2)
        }""",
        stored,
    )


def test_a_stem_that_fans_out_into_a_convolution_and_an_add_is_cut_by_bridges() -> None:
    model, x = residual(), images()
    _, plain = pruned_and_compared(model, x, Choice())
    smaller, bridged = pruned_and_compared(model, x, Choice(residual="params"))
    kernels = {t.name: list(t.dims) for t in smaller.graph.initializer}
    assert kernels["w0"] == [3, 3, 3, 3]
    assert kernels["w1"] == [8, 3, 3, 3]
    # the five dead stem filters with their biases, and what the convolution read of them
    assert plain.facts.after.parameters - bridged.facts.after.parameters == 5 * 28 + 8 * 5 * 9


def test_bridges_keep_the_image_size_free() -> None:
    model = residual()
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    smaller, _ = pruned_and_compared(model, images(), Choice(residual="params"))
    other = RNG.standard_normal((2, 3, 9, 5)).astype(np.float32)
    np.testing.assert_allclose(run(smaller, {"x": other})["y"], run(model, {"x": other})["y"], atol=1e-3)


def test_a_second_prune_with_bridges_changes_nothing() -> None:
    x = images()
    smaller, _ = pruned_and_compared(residual(), x, Choice(residual="params"))
    again = analyzer.prune(smaller, {"x": x}, choice=Choice(residual="params"), latency=False)
    assert not again.changed


def test_no_bridge_is_built_where_nothing_is_dead() -> None:
    result = analyzer.prune(residual(0), {"x": images()}, choice=Choice(residual="params"), latency=False)
    assert not result.changed


def test_latency_mode_keeps_one_of_the_two_cuts_and_says_so_when_it_left_the_bridges_out() -> None:
    result = analyzer.prune(residual(), {"x": images()}, choice=Choice(residual="latency"), latency=False)
    bridged = any(node.op_type == "Gather" for node in onnx.ModelProto.FromString(result.data).graph.node)
    assert bridged != any("cost speed" in note for note in result.facts.notes)


def twins() -> onnx.ModelProto:
    w0, b0 = weights(6, 3, 3, 3), weights(6)
    w0[4], b0[4] = w0[1], b0[1]
    scale, shift, mean, var = np.abs(weights(6)) + 1, weights(6) / 9, weights(6) / 9, np.abs(weights(6)) + 1
    for array in (scale, shift, mean, var):
        array[4] = array[1]
    stored = {
        "w0": w0, "b0": b0, "scale": scale, "shift": shift, "mean": mean, "var": var.astype(np.float32),
        "w1": weights(5, 6, 3, 3), "w2": weights(20, 3),
    }  # fmt: skip
    return parse(
        """twins (float[n,3,6,6] x) => (float[n,3] y) {
            c = Conv<pads=[1,1,1,1]>(x, w0, b0)
            bn = BatchNormalization(c, scale, shift, mean, var)
            r = Relu(bn)
            d = Conv<strides=[2,2]>(r, w1)
            f = Flatten(d)
            y = Gemm(f, w2)
        }""",
        stored,
    )


def test_equal_units_are_merged_for_every_input() -> None:
    model, x = twins(), images()
    smaller, result = pruned_and_compared(model, x, Choice(merge_duplicates=True))
    assert {t.name: t.dims[0] for t in smaller.graph.initializer}["w0"] == 5
    assert any("1 unit computes the same" in note for note in result.facts.notes)
    wild = 100 * images(3)
    expected = run(model, {"x": wild})["y"]
    np.testing.assert_allclose(run(smaller, {"x": wild})["y"], expected, atol=1e-5 * np.abs(expected).max())


def test_equal_units_stay_unless_asked_for() -> None:
    smaller = onnx.ModelProto.FromString(analyzer.prune(twins(), {"x": images()}, latency=False).data)
    assert {t.name: t.dims[0] for t in smaller.graph.initializer}["w0"] == 6


@pytest.mark.parametrize("name", ["b0", "w0", "scale"])
def test_units_that_differ_in_one_bit_are_not_twins(name: str) -> None:
    model = twins()
    tensor = next(t for t in model.graph.initializer if t.name == name)
    array = onnx.numpy_helper.to_array(tensor).copy()
    array[4] = np.nextafter(array[4], np.float32(9))
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, name))
    result = analyzer.prune(model, {"x": images()}, choice=Choice(merge_duplicates=True), latency=False)
    assert not any("the same as another" in note for note in result.facts.notes)


def always_on(kind: str) -> onnx.ModelProto:
    stored = {"w0": weights(4, 12), "b0": np.full(12, 50, np.float32), "w1": weights(12, 3), "b1": weights(3)}
    body = {
        "Gemm": "h = Gemm(x, w0, b0) r = Relu(h) y = Gemm(r, w1, b1)",
        "MatMul": "m = MatMul(x, w0) h = Add(m, b0) r = Relu(h) p = MatMul(r, w1) y = Add(p, b1)",
    }[kind]
    return parse(f"on (float[n,4] x) => (float[n,3] y) {{ {body} }}", stored)


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_dense_layers_around_an_always_on_relu_are_merged_where_that_is_smaller(kind: str) -> None:
    x = RNG.standard_normal((40, 4)).astype(np.float32)
    smaller, result = pruned_and_compared(always_on(kind), x, Choice(merge_linear=True))
    assert not any(node.op_type == "Relu" for node in smaller.graph.node)
    assert result.facts.after.parameters < result.facts.before.parameters
    assert not analyzer.prune(always_on(kind), {"x": x}, latency=False).changed


def test_where_the_shapes_of_what_was_cut_cannot_be_had_nothing_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise ProbeError("It can be read only once.")

    monkeypatch.setattr("analyzer.api.chosen_cut.measure_shapes", refused)
    x = RNG.standard_normal((40, 4)).astype(np.float32)
    assert not analyzer.prune(always_on("Gemm"), {"x": x}, choice=Choice(merge_linear=True), latency=False).changed


def test_a_relu_that_is_off_once_is_not_merged() -> None:
    x = RNG.standard_normal((40, 4)).astype(np.float32)
    x[3] = 1000
    assert not analyzer.prune(always_on("Gemm"), {"x": x}, choice=Choice(merge_linear=True), latency=False).changed
