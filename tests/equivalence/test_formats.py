"""Element types, quantisation, old and new versions: what is stored is cut along, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from tests.equivalence.agree import pruned_and_checked, run, same
from tests.equivalence.cases import PLAIN, killed, weights
from tests.models import LARGEST_BYTE, parse

X = np.random.default_rng(3).standard_normal((6, 3, 6, 6)).astype(np.float32)


def quantised(array: np.ndarray[Any, Any], axis: int) -> tuple[np.ndarray[Any, Any], ...]:
    others = tuple(a for a in range(array.ndim) if a != axis)
    scale = np.maximum(np.abs(array).max(axis=others), 1e-3).astype(np.float32) / LARGEST_BYTE
    shaped = scale.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return (
        np.clip(np.round(array / shaped), -LARGEST_BYTE, LARGEST_BYTE).astype(np.int8),
        scale,
        np.zeros(len(scale), np.int8),
    )


def test_a_qdq_model_loses_scales_and_zero_points_too(tmp_path: Path) -> None:
    stored = killed(PLAIN, "b1", (1, 4))
    w1, s1, z1 = quantised(stored["w1"], 0)
    w2, s2, z2 = quantised(stored["w2"], 0)
    given = {"w1": w1, "s1": s1, "z1": z1, "w2": w2, "s2": s2, "z2": z2, "b1": stored["b1"], "b2": stored["b2"],
             "sx": np.float32(0.05), "zx": np.uint8(128), "sa": np.float32(0.05), "za": np.uint8(0)}  # fmt: skip
    model = parse(
        """g (float[N,3,6,6] x) => (float[A,B,C,D] y) {
        xq = QuantizeLinear(x, sx, zx)
        xd = DequantizeLinear(xq, sx, zx)
        d1 = DequantizeLinear<axis=0>(w1, s1, z1)
        h = Conv<pads=[1,1,1,1]>(xd, d1, b1)
        a = Relu(h)
        aq = QuantizeLinear(a, sa, za)
        ad = DequantizeLinear(aq, sa, za)
        d2 = DequantizeLinear<axis=0>(w2, s2, z2)
        y = Conv<pads=[1,1,1,1]>(ad, d2, b2)
        }""",
        {n: np.asarray(a) for n, a in given.items()},
    )
    result = pruned_and_checked(model, {"x": X}, tmp_path, tolerance=2e-2)
    written = {i.name: list(i.dims) for i in onnx.load(str(tmp_path / "small.onnx")).graph.initializer}
    assert result.changed
    assert written["w1"][0] == 4
    assert written["s1"] == written["z1"] == [4]
    assert written["w2"][:2] == [5, 4]


def test_a_qlinear_model_loses_scales_and_zero_points_too(tmp_path: Path) -> None:
    stored = killed(PLAIN, "b1", (1, 4), -40.0)
    w1, s1, z1 = quantised(stored["w1"], 0)
    w2, s2, z2 = quantised(stored["w2"], 0)
    given = {
        "w1": w1, "s1": s1, "z1": z1, "w2": w2, "s2": s2, "z2": z2, "sx": np.float32(0.05), "zx": np.uint8(128),
        "sa": np.float32(0.05), "za": np.uint8(0), "sy": np.float32(0.1), "zy": np.uint8(128),
        "b1": np.round(stored["b1"] / (0.05 * s1)).astype(np.int32),
        "b2": np.round(stored["b2"] / (0.05 * s2)).astype(np.int32),
    }  # fmt: skip
    model = parse(
        """g (float[N,3,6,6] x) => (float[A,B,C,D] y) {
        xq = QuantizeLinear(x, sx, zx)
        aq = QLinearConv<pads=[1,1,1,1]>(xq, sx, zx, w1, s1, z1, sa, za, b1)
        yq = QLinearConv<pads=[1,1,1,1]>(aq, sa, za, w2, s2, z2, sy, zy, b2)
        y = DequantizeLinear(yq, sy, zy)
        }""",
        {n: np.asarray(a) for n, a in given.items()},
    )
    result = pruned_and_checked(model, {"x": X}, tmp_path, tolerance=2e-2)
    assert result.changed
    written = {i.name: list(i.dims) for i in onnx.load(str(tmp_path / "small.onnx")).graph.initializer}
    assert written["w1"][0] == written["s1"][0] == written["z1"][0] == written["b1"][0] == 4


@pytest.mark.parametrize(
    ("pads", "biased", "left"), [("0,0,0,0", True, 4), ("0,0,0,0", False, 4), ("1,1,1,1", True, 5)]
)
def test_a_qlinear_convolution_takes_constants_into_its_bias_where_no_padding_meets_them(
    pads: str, biased: bool, left: int
) -> None:
    stored = weights(w1=(6, 3, 3, 3), w2=(5, 6, 3, 3))
    (w1, s1, z1), (w2, s2, z2) = (quantised(w, 0) for w in stored.values())
    w1[[1, 4]], b1 = 0, np.arange(300, 900, 100, dtype=np.int32)
    b1[4] = -500  # unit 1 rests at 400, unit 4 at zero
    given = {
        "w1": w1, "s1": s1, "z1": z1, "w2": w2, "s2": s2, "z2": z2, "sx": np.float32(0.05), "zx": np.uint8(128),
        "sa": np.float32(0.05), "za": np.uint8(0), "sy": np.float32(0.1), "zy": np.uint8(128), "b1": b1,
        **({"b2": np.array([0, 9, -70, 200, 3], np.int32)} if biased else {}),
    }  # fmt: skip
    model = parse(
        f"""g (uint8[N,3,8,8] x) => (uint8[A,B,C,D] y) {{
        a = QLinearConv(x, sx, zx, w1, s1, z1, sa, za, b1)
        y = QLinearConv<pads=[{pads}]>(a, sa, za, w2, s2, z2, sy, zy{", b2" if biased else ""}) }}""",
        {n: np.asarray(a) for n, a in given.items()},
    )
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8)).astype(np.uint8)
    pruned = analyzer.prune(model, x, latency=False)
    smaller = onnx.ModelProto.FromString(pruned.data)
    assert next(i.dims[0] for i in smaller.graph.initializer if i.name == "w1") == left
    for part in (x, x[:1]):
        assert np.array_equal(run(model, {"x": part})[0], run(smaller, {"x": part})[0])


def test_half_precision_stays_half_precision(tmp_path: Path) -> None:
    model = parse(
        "g (float16[N,3,6,6] x) => (float16[A,B,C,D] y) {\n"
        "h = Conv<pads=[1,1,1,1]>(x, w1, b1)\na = Relu(h)\ny = Conv<pads=[1,1,1,1]>(a, w2, b2)\n}",
        {n: a.astype(np.float16) for n, a in killed(PLAIN, "b1", (1, 4)).items()},
    )
    result = pruned_and_checked(model, {"x": X.astype(np.float16)}, tmp_path)
    assert result.facts.after.parameters == 4 * 28 + 5 * 37
    kinds = {i.data_type for i in onnx.load(str(tmp_path / "small.onnx")).graph.initializer}
    assert kinds == {TensorProto.FLOAT16}


def test_columns_of_an_embedding_that_nothing_reads_go(tmp_path: Path) -> None:
    stored = weights(table=(11, 6), w=(6, 4), b=(4,))
    stored["w"][[1, 5]] = 0
    model = parse(
        "g (int64[N,7] x) => (float[A,B,C] y) {\ne = Gather(table, x)\nm = MatMul(e, w)\ny = Add(m, b)\n}", stored
    )
    tokens = np.random.default_rng(0).integers(0, 11, (5, 7))
    result = pruned_and_checked(model, {"x": tokens}, tmp_path, structural=True)
    assert result.facts.after.parameters == 11 * 4 + 4 * 4 + 4


def test_weights_that_are_listed_as_inputs_stay_listed(tmp_path: Path) -> None:
    stored = killed(weights(w1=(7, 6), b1=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 3))
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(a, n) for n, a in stored.items()]
    shapes = {"x": ["N", 7], **{n: list(a.shape) for n, a in stored.items()}}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)
    probe = {"x": np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)}
    result = pruned_and_checked(model, probe, tmp_path)
    written = onnx.load(str(tmp_path / "small.onnx"))
    assert result.facts.after.parameters == 4 * 8 + 4 * 5
    assert {i.name for i in written.graph.initializer} <= {i.name for i in written.graph.input}


@pytest.mark.parametrize("opset", range(7, 24))
def test_every_opset_keeps_its_form(opset: int, tmp_path: Path) -> None:
    limits = opset >= 11
    stored = {**killed(killed(PLAIN, "b1", (1,)), "b1", (4,), 90.0), "w3": weights(w3=(80, 3))["w3"]}
    clip = "Clip(h, lo, hi)" if limits else "Clip<min=0.0, max=6.0>(h)"
    stored |= {"lo": np.array(0, np.float32), "hi": np.array(6, np.float32)} if limits else {}
    axes = "Squeeze(p, ax)" if opset >= 13 else "Squeeze<axes=[2,3]>(p)"
    stored |= {"ax": np.array([2, 3])} if opset >= 13 else {}
    split = "Split<axis=1>(a, sp)" if opset >= 13 else "Split<axis=1, split=[2,4]>(a)"
    stored |= {"sp": np.array([2, 4])} if opset >= 13 else {}
    model = parse(
        f"""g (float[N,3,6,6] x) => (float[A,B] y) {{
        h = Conv<pads=[1,1,1,1]>(x, w1, b1)
        a = {clip}
        q, r = {split}
        c = Concat<axis=1>(r, q)
        m = Conv(c, w2, b2)
        p = GlobalAveragePool(m)
        s = {axes}
        d = Dropout(s)
        y = MatMul(d, w4)
        }}""",
        {n: np.asarray(a) for n, a in {**stored, "w4": weights(w4=(5, 3))["w4"]}.items() if n != "w3"},
        opset,
    )
    result = pruned_and_checked(model, {"x": X}, tmp_path)
    assert result.facts.after.parameters <= 4 * 28 + 5 * 37 + 15


def test_metadata_stays_and_tells_where_the_model_comes_from(tmp_path: Path) -> None:
    model = parse("g (float[N,7] x) => (float[A,B] y) {\nh = Gemm(x, w1, b1)\na = Relu(h)\ny = Gemm(a, w2, b2)\n}",
                  killed(weights(w1=(7, 6), b1=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 3)))  # fmt: skip
    model.producer_name, model.producer_version, model.doc_string = "someone", "1.2", "for a test"
    helper.set_model_props(model, {"classes": "a,b"})
    probe = {"x": np.random.default_rng(0).standard_normal((70, 7)).astype(np.float32)}
    result = pruned_and_checked(model, probe, tmp_path)
    written = onnx.load(str(tmp_path / "small.onnx"))
    facts = {p.key: p.value for p in written.metadata_props}
    assert (written.producer_name, written.producer_version, written.doc_string) == ("someone", "1.2", "for a test")
    assert facts["classes"] == "a,b"
    assert facts["deadunits.evidence"] == "observed"
    assert facts["deadunits.probe_samples"] == "70"
    assert float(facts["deadunits.firing_bound_95"]) == pytest.approx(1 - 0.05 ** (1 / 70), rel=1e-2)
    assert float(facts["deadunits.max_abs_difference"]) <= float(facts["deadunits.tolerance"]) * 100
    assert result.comparison is not None


def test_it_is_exact_inside_and_different_outside() -> None:
    """An observed dead unit: equal wherever it stays dead, and shown to differ where it wakes up."""
    stored = {
        "w1": np.eye(3, dtype=np.float32),
        "b1": np.array([0, 0, -5], np.float32),
        "w2": np.ones((3, 1), np.float32),
    }
    model = parse(
        "g (float[N,3] x) => (float[A,B] y) {\nh = Gemm(x, w1, b1)\na = Relu(h)\ny = MatMul(a, w2)\n}", stored
    )
    rng = np.random.default_rng(0)
    inside = rng.uniform(-4, 4, (50, 3)).astype(np.float32)
    result = analyzer.prune(model, inside, latency=False)
    small = onnx.ModelProto.FromString(result.data)
    assert result.facts.removed_units == {"a": (2,)}
    same(run(model, {"x": inside}), run(small, {"x": inside}))
    outside = np.array([[1, 1, 9]], np.float32)
    assert run(model, {"x": outside})[0].item() == pytest.approx(6)
    assert run(small, {"x": outside})[0].item() == pytest.approx(2)
    structural = analyzer.prune(model, latency=False)
    assert not structural.changed


def test_a_kernel_that_sums_to_zero_is_not_a_zero_kernel(tmp_path: Path) -> None:
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)
    stored = {"w1": np.stack([sobel, sobel.T])[:, None], "w2": weights(w2=(2, 2, 3, 3))["w2"]}
    model = parse(
        "g (float[N,1,6,6] x) => (float[A,B,C,D] y) {\nh = Conv(x, w1)\na = Relu(h)\ny = Conv(a, w2)\n}", stored
    )
    for structural in (True, False):
        assert not pruned_and_checked(model, {"x": X[:, :1]}, tmp_path, structural=structural).changed


def test_a_map_that_fires_at_one_position_of_one_sample_is_alive() -> None:
    stored = {
        "w1": np.ones((2, 1, 1, 1), np.float32),
        "b1": np.array([0, -4.5], np.float32),
        "w2": np.ones((1, 2, 1, 1), np.float32),
    }
    model = parse(
        "g (float[N,1,6,6] x) => (float[A,B,C,D] y) {\nh = Conv(x, w1, b1)\na = Relu(h)\ny = Conv(a, w2)\n}", stored
    )
    probe = np.clip(X[:, :1], -3, 3)
    assert analyzer.prune(model, probe, latency=False).changed
    probe[4, 0, 2, 3] = 5
    assert not analyzer.prune(model, probe, latency=False).changed
