"""A quantised model has the dead units of the original, at its zero points, and is cut without a difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

quantization = pytest.importorskip("onnxruntime.quantization")

import analyzer  # noqa: E402
from tests.equivalence.cases import killed, weights  # noqa: E402
from tests.models import parse  # noqa: E402

SAMPLES = Path(__file__).parents[2] / "sample_models"

#: Every operator that the static quantiser writes for a network of this kind.
GATED = """g (float[N,3,8,8] x) => (float[N,5] y) {
    h1 = Conv<pads=[1,1,1,1]>(x, w1, b1)
    a1 = Relu(h1)
    h2 = Conv<pads=[1,1,1,1]>(a1, w2, b2)
    a2 = Relu(h2)
    s = Add(a1, a2)
    p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(s)
    g0 = GlobalAveragePool(p)
    gc = Conv(g0, ws, bs)
    gate = Sigmoid(gc)
    m = Mul(p, gate)
    h3 = Conv<pads=[1,1,1,1]>(m, w3, b3)
    a3 = LeakyRelu<alpha=0.1>(h3)
    c = Concat<axis=1>(m, a3)
    h4 = Conv<pads=[1,1,1,1]>(c, w4, b4)
    a4 = Relu(h4)
    g1 = GlobalAveragePool(a4)
    f = Flatten(g1)
    y = Gemm(f, wl, bl)
}"""


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
    """Feeds for the calibration, twenty samples at a time."""

    def __init__(self, name: str, data: np.ndarray[Any, Any]) -> None:
        self._feeds: Iterator[dict[str, Any]] = iter([{name: data[i : i + 20]} for i in range(0, 200, 20)])

    def get_next(self) -> dict[str, Any] | None:
        """The next feed, or None."""
        return next(self._feeds, None)


def quantise(
    model: Path, folder: Path, name: str, data: np.ndarray[Any, Any], layout: str, activations: str, **options: Any
) -> Path:
    """The model, quantised on this data, with weights that every processor adds up exactly (`LARGEST_BYTE`)."""
    path = folder / "quantised.onnx"
    quantization.quantize_static(
        model,
        path,
        Reader(name, data),
        quant_format=quantization.QuantFormat[layout],
        activation_type=quantization.QuantType[activations],
        weight_type=quantization.QuantType.QInt8,
        reduce_range=True,
        **options,
    )
    return path


def probe_of(folder: Path) -> tuple[str, np.ndarray[Any, Any]]:
    """The input's name and the data of a sample model."""
    with np.load(folder / "probe.npz") as archive:
        (name,) = archive.files
        return name, archive[name]


def operators(path: Path) -> set[str]:
    """The operators of a file."""
    return {node.op_type for node in onnx.load(str(path)).graph.node}


@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
@pytest.mark.filterwarnings("ignore")
def test_the_killed_network_is_as_dead_when_quantised(tmp_path: Path, layout: str, activations: str) -> None:
    folder = SAMPLES / "digits_mlp_killed"
    name, data = probe_of(folder)
    path = quantise(folder / "model.onnx", tmp_path, name, data, layout, activations)
    plain = analyzer.audit(folder / "model.onnx", {name: data}, causes=False)
    audit = analyzer.audit(path, {name: data}, causes=False)
    dead = [set(layer.dead) for layer in audit.layers[:3]]
    assert all(before <= after for before, after in zip((set(la.dead) for la in plain.layers), dead, strict=False))
    assert not any(layer.constant for layer in audit.layers)  # at the zero point is zero
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    assert pruned.facts.after.parameters < 0.25 * pruned.facts.before.parameters


@pytest.mark.filterwarnings("ignore")
def test_constants_go_into_the_bias_of_a_product_with_scales_per_column(tmp_path: Path) -> None:
    arrays = weights(w1=(16, 6), b1=(16,), w2=(12, 16), b2=(12,), w3=(4, 12), b3=(4,))
    arrays["b1"][:4], arrays["b2"][:4] = (20, 20, 20, -20), -20  # four sit at 1 or -1, four never fire
    text = """g (float[N, 6] x) => (float[N, 4] y) {
        h = Gemm<transB=1>(x, w1, b1) t = Tanh(h) k = Gemm<transB=1>(t, w2, b2) r = Relu(k)
        y = Gemm<transB=1>(r, w3, b3)
    }"""
    onnx.save(parse(text, arrays), tmp_path / "model.onnx")
    data = np.random.default_rng(0).normal(0, 1, (256, 6)).astype(np.float32)
    path = quantise(tmp_path / "model.onnx", tmp_path, "x", data, "QOperator", "QUInt8", per_channel=True)
    assert "QGemm" in operators(path)
    audit = analyzer.audit(path, {"x": data}, causes=False)
    (tanh,) = [la for la in audit.layers if la.audited.op == "Tanh"]
    (relu,) = [la for la in audit.layers if la.audited.op == "QGemm+Relu"]
    assert set(tanh.constant) == set(range(4)) <= set(relu.dead)
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    small = onnx.load_model_from_string(pruned.data)
    shapes = {tensor.name: list(tensor.dims) for tensor in small.graph.initializer}
    products = [[shapes[name] for name in node.input[3:7]] for node in small.graph.node if node.op_type == "QGemm"]
    live = 12 - len(relu.dead)
    assert products == [[[n, k], [n], [n], [n]] for n, k in ((12, 6), (live, 12), (4, live))]


DYNAMIC = """g (float[N, 3, 6, 6] x) => (float[N, 4] y) {
    h = Conv<pads=[1, 1, 1, 1]>(x, w1, b1) a = Relu(h) k = Conv(a, w2, b2) c = Relu(k) f = Flatten(c)
    d = MatMul(f, w3) e = Add(d, b3) r = Relu(e) s = MatMul(r, w4) y = Add(s, b4)
}"""


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight", ["QInt8", "QUInt8"])
@pytest.mark.filterwarnings("ignore")
def test_zeros_go_from_what_is_quantised_dynamically_and_other_constants_stay(
    tmp_path: Path, per_channel: bool, weight: str
) -> None:
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (5, 8, 3, 3), "b2": (5,), "w3": (80, 12), "b3": (12,)}
    arrays = weights(**shapes, w4=(12, 4), b4=(4,))
    arrays["b1"][:3] = arrays["b2"][:2] = arrays["b3"][:4] = -90
    arrays["w1"][3], arrays["b1"][3] = 0, 12  # constant, and the largest: the range is its own
    onnx.save(parse(DYNAMIC, arrays), tmp_path / "model.onnx")
    path = tmp_path / "quantised.onnx"
    kind = quantization.QuantType[weight]
    quantization.quantize_dynamic(
        tmp_path / "model.onnx", path, per_channel=per_channel, weight_type=kind, reduce_range=True
    )
    assert {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"} <= operators(path)
    data = np.random.default_rng(0).normal(0, 1, (64, 3, 6, 6)).astype(np.float32)
    audit = analyzer.audit(path, {"x": data}, causes=False)
    names = [("a", 3), ("c", 2), ("r", 4)]
    layers = {la.value: set(la.dead) for la in audit.layers}
    assert all(set(range(killed_units)) <= layers[name] for name, killed_units in names)
    assert len(layers) == 4  # and the output
    assert audit.judged.multiply_adds_share == 1
    assert not audit.operators_without_rule
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    small = onnx.load_model_from_string(pruned.data)
    found = {tensor.name: list(tensor.dims) for tensor in small.graph.initializer}
    kept = 5 - len(layers["c"])
    assert (found["w1_quantized"], found["w2_quantized"]) == ([5, 3, 3, 3], [kept, 5, 3, 3])
    assert (found["w3_quantized"], found["w4_quantized"]) == ([16 * kept, 8], [8, 4])


@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
@pytest.mark.filterwarnings("ignore")
def test_a_residual_network_is_cut_across_its_quantised_sums(tmp_path: Path, activations: str) -> None:
    folder = SAMPLES / "digits_cnn_torchscript"
    name, data = probe_of(folder)
    path = quantise(folder / "model.onnx", tmp_path, name, data, "QOperator", activations)
    plain = analyzer.audit(folder / "model.onnx", {name: data}, causes=False)
    audit = analyzer.audit(path, {name: data}, causes=False)
    assert "QLinearAdd" in operators(path)
    assert audit.operators_without_rule == ()
    kinds = [sorted((la.audited.kind, la.audited.units) for la in found.layers) for found in (plain, audit)]
    assert kinds[0] == kinds[1]
    sums = [la for la in audit.layers if la.audited.op == "QLinearAdd+Relu"]
    before = [la for la in plain.layers if la.value in [f"/block{i}/Relu_1_output_0" for i in (1, 2, 3)]]
    assert all(set(one.dead) <= set(other.dead) for one, other in zip(before, sums, strict=True))
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    small = onnx.load_model_from_string(pruned.data)
    shapes = {tensor.name: list(tensor.dims) for tensor in small.graph.initializer}
    ends = ("/stem/Conv_quant", "/block1/conv2/Conv_quant")  # both sides of the first sum, and what reads it
    assert [shapes[node.input[3]][0] for node in small.graph.node if node.name in ends] == [15, 15]
    readers = ("/block2/conv1/Conv_quant", "/block2/skip/skip.0/Conv_quant")
    assert [shapes[node.input[3]][1] for node in small.graph.node if node.name in readers] == [15, 15]
    assert pruned.facts.after.parameters < 0.65 * pruned.facts.before.parameters


@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
@pytest.mark.filterwarnings("ignore")
def test_every_operator_on_quantised_values_lets_dead_channels_go(tmp_path: Path, activations: str) -> None:
    stored = weights(
        w1=(8, 3, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,), w3=(6, 8, 3, 3), b3=(6,), ws=(8, 8, 1, 1), bs=(8,),
        w4=(14, 14, 3, 3), b4=(14,), wl=(14, 5), bl=(5,),
    )  # fmt: skip
    for bias, units in {"b1": (1, 4), "b2": (1, 4, 6), "b4": (2, 9, 13)}.items():
        stored = killed(stored, bias, units)
    onnx.save(parse(GATED, stored), str(tmp_path / "model.onnx"))
    data = np.random.default_rng(1).standard_normal((200, 3, 8, 8)).astype(np.float32)
    path = quantise(tmp_path / "model.onnx", tmp_path, "x", data, "QOperator", activations)
    written = {"Add", "Mul", "Sigmoid", "LeakyRelu", "Concat", "AveragePool", "GlobalAveragePool"}
    assert {f"QLinear{op}" for op in written} <= operators(path)
    plain = analyzer.audit(tmp_path / "model.onnx", {"x": data}, causes=False)
    audit = analyzer.audit(path, {"x": data}, causes=False)
    assert audit.operators_without_rule == ()
    for before, after in zip(plain.layers, audit.layers, strict=True):
        assert before.audited.kind is after.audited.kind
        assert set(before.dead) <= set(after.dead)
    pruned = audit.prune(latency=False)
    assert pruned.comparison is not None
    assert pruned.comparison.max_abs_difference == 0
    both = plain.prune(latency=False).facts, pruned.facts
    gone = [1 - facts.after.parameters / facts.before.parameters for facts in both]
    assert gone[1] > 0.9 * gone[0]
