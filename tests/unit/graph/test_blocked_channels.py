"""Files that onnxruntime saved with channels in blocks are read as what they were saved from, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import analyzer
from analyzer.graph import blocked_channels
from analyzer.graph.blocked_channels import BLOCKED
from analyzer.graph.serialize import serialize
from analyzer.runtime.loading import load_model
from tests.models import Array, parse

ACTIVATIONS = (
    "",
    "Relu",
    "Sigmoid",
    "Tanh",
    "LeakyRelu<alpha=0.2>",
    "HardSigmoid<alpha=0.3, beta=0.4>",
    "HardSwish",
    "Clip",
)


def saved(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """What onnxruntime saves after its full optimisation; skips where that has no channels in blocks."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(options.optimized_model_filepath)
    if not any(node.domain == BLOCKED for node in optimised.graph.node):
        pytest.skip("onnxruntime blocks nothing on this processor")
    return optimised


def outputs(model: onnx.ModelProto | bytes, x: Array) -> list[Array]:
    """As onnxruntime gives them by default."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return [*ort.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})]


def convolutions(seed: int, opset: int) -> onnx.ModelProto:
    """Convolutions in a row, of each kind that has a layout of its own, with joins, pools and resizing between."""
    rng = np.random.default_rng(seed)
    stored: dict[str, Array] = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    stored["scales"] = np.array([1, 1, 2, 2], np.float32)
    lines, width, last = list[str](), int(rng.choice([3, 4, 20])), "x"
    entered, before = width, ""
    for step in range(int(rng.integers(3, 7))):
        kind = str(rng.choice(["plain", "plain", "depthwise", "grouped", "joined", "pool", "up", "both", "gated"]))
        name = f"v{step}"
        if kind == "pool":
            lines.append(
                f"{name} = {rng.choice(['MaxPool', 'AveragePool'])}<kernel_shape=[2, 2], strides=[1, 1]>({last})"
            )
            last, before = name, ""
            continue
        if kind == "gated" and step:
            stored[f"w{step}"] = rng.normal(size=(width, width, 1, 1)).astype(np.float32) / np.float32(width)
            lines.append(f"m{step} = GlobalAveragePool({last}) e{step} = Conv(m{step}, w{step})")
            lines.append(f"g{step} = Sigmoid(e{step}) {name} = Mul({last}, g{step})")
            last, before = name, ""
            continue
        if kind == "up" and opset >= 11:
            mode = '<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">'
            lines.append(f"{name} = Resize{mode}({last}, , scales)")
            last, before = name, ""
            continue
        group = width if kind == "depthwise" else 2 if kind == "grouped" and width % 32 == 0 else 1
        made = width if group > 1 or (kind == "joined" and step) else int(rng.choice([5, 16, 24, 32, 40, 64]))
        size = int(rng.choice([1, 3]))
        stored[f"w{step}"] = rng.normal(size=(made, width // group, size, size)).astype(np.float32)
        stored[f"w{step}"] /= np.sqrt(width // group * size * size)
        bias = f", c{step}" if rng.random() < 0.7 else ""
        stored[f"c{step}"] = rng.normal(size=made).astype(np.float32)
        lines.append(f"a{step} = Conv<pads={[size // 2] * 4}, group={group}>({last}, w{step}{bias})")
        plain = f"a{step}"
        if made == width and kind == "joined" and step and before:
            lines.append(f"s{step} = Add({plain}, {last})")
            plain = f"s{step}"
        chosen = str(rng.choice(ACTIVATIONS))
        if chosen == "HardSwish" and (opset < 14 or chosen in " ".join(lines)):  # onnxruntime loads one of them only
            chosen = ""
        bounds = ", low, high" if chosen == "Clip" else ""
        lines.append(
            f"{name} = {chosen or 'Identity'}({plain}{bounds})" if "<" not in chosen else f"{name} = {chosen}({plain})"
        )
        if kind == "both" and made % 32 == 0:
            lines.append(f"j{step} = Concat<axis=1>({name}, {name})")
            name, made = f"j{step}", 2 * made
        last, before, width = name, last, made
    lines += [f"y = Identity({last})", f"z = GlobalAveragePool({last})"]
    text = f"g (float[N, {entered}, 9, 8] x) => (float[a, b, c, d] y, float[e, f, g, h] z) {{ {' '.join(lines)} }}"
    used = {name: array for name, array in stored.items() if name in text}
    return parse(text, used, opset)


@pytest.mark.parametrize("seed", range(40))
def test_channels_in_order_give_what_channels_in_blocks_give(seed: int, tmp_path: Path) -> None:
    plain = convolutions(seed, opset := (13, 18, 21)[seed % 3])
    model = saved(plain, tmp_path)
    loaded = load_model(model)
    read = onnx.load_from_string(serialize(loaded))
    assert loaded.read_back and not any(node.domain == BLOCKED for node in read.graph.node)
    x = np.random.default_rng(seed).normal(size=(3, plain.graph.input[0].type.tensor_type.shape.dim[1].dim_value, 9, 8))
    for given, expected in zip(outputs(read, x.astype(np.float32)), outputs(model, x.astype(np.float32)), strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=2e-6 * max(np.abs(expected).max(), 1e-6))
    kernels = sorted(tuple(t.dims) for t in plain.graph.initializer if len(t.dims) == 4)
    assert kernels == sorted(tuple(t.dims) for t in read.graph.initializer if len(t.dims) == 4), opset


def two_dead(constant: float) -> onnx.ModelProto:
    """Two convolutions; of the first, units 1 and 20 are stuck, unit 2 fires on a single pixel only."""
    rng = np.random.default_rng(5)
    stored = {
        "a_weight": rng.normal(size=(32, 16, 3, 3)),
        "a_bias": np.zeros(32),
        "b_weight": rng.normal(size=(16, 32, 1, 1)),
    }
    stored |= {"b_bias": rng.normal(size=16), "i_weight": rng.normal(size=(16, 3, 3, 3)), "i_bias": np.zeros(16)}
    stored["a_weight"][[1, 20]] = 0
    stored["a_bias"][[1, 20]] = constant
    stored["a_bias"][2] = -np.abs(stored["a_weight"][2]).sum()
    text = """g (float[N, 3, 6, 6] x) => (float[N, 16, 6, 6] y) {
        h = Conv<pads=[1, 1, 1, 1]>(x, i_weight, i_bias) k = Clip(h, low, high)
        a = Conv<pads=[1, 1, 1, 1]>(k, a_weight, a_bias) r = Relu(a) y = Conv(r, b_weight, b_bias) }"""
    weights = {name: array.astype(np.float32) for name, array in stored.items()}
    model = parse(text, {**weights, "low": np.array(0, np.float32), "high": np.array(1, np.float32)})
    for node in model.graph.node:
        node.input[:] = [name.replace("_", ".") for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("_", ".")
    return model


@pytest.mark.parametrize("constant", [-1.0, 0.5])
def test_units_of_such_a_file_are_found_named_and_cut(constant: float, tmp_path: Path) -> None:
    model = saved(two_dead(constant), tmp_path)
    x = np.random.default_rng(1).normal(size=(16, 3, 6, 6)).astype(np.float32)
    audit = analyzer.audit(model, {"x": x}, causes=False)
    (layer,) = (layer for layer in audit.layers if layer.audited.module == "a")
    assert layer.units == 32 and {1, 20} <= set(layer.dead)
    assert audit.judged.multiply_adds_share == 1
    pruned = analyzer.prune(model, {"x": x}, latency=False)
    assert {1, 20} <= set(pruned.facts.removed_units[layer.value])
    assert any("optimise it again" in note for note in pruned.facts.notes)
    for size in (1, 16):
        (given,), (expected,) = (
            outputs(pruned.data, x[:size]),
            outputs(model, x[:size]),
        )
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_what_a_run_does_not_confirm_is_left_in_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = saved(two_dead(-1.0), tmp_path)
    x = np.random.default_rng(1).normal(size=(4, 3, 6, 6)).astype(np.float32)
    monkeypatch.setattr(blocked_channels, "_block_length", lambda *_: 4)
    assert load_model(model).read_back
    audit = analyzer.audit(model, {"x": x}, causes=False)
    assert audit.judged.multiply_adds_share == 0
    assert "audit the file from before it" in audit.judged.left_out[0].reason


def test_a_value_in_blocks_that_something_else_reads_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    model = saved(two_dead(-1.0), tmp_path)
    blocked = next(node.output[0] for node in model.graph.node if node.domain == BLOCKED)
    model.graph.node.append(onnx.helper.make_node("ReduceSum", [blocked], ["total"]))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("total"))
    assert not load_model(model).read_back


@pytest.mark.parametrize(("width", "joined"), [(24, False), (32, True)])
def test_channels_at_the_end_are_no_filling_for_being_zero_and_unread(width: int, joined: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    w, v = rng.normal(size=(width, 4, 1, 1)), rng.normal(size=(16, width * (1 + joined), 1, 1))
    none = range(width - (5 if joined else 2), width)
    w[none], v[:, none], v[:, range(-len(none), 0)] = 0, 0, 0
    lines = "b = Concat<axis=1>(a, a) y = Conv(b, v)" if joined else "y = Conv(a, v)"
    text = f"g (float[N, 4, 5, 5] x) => (float[N, 16, 5, 5] y) {{ a = Conv(x, w) {lines} }}"
    read = load_model(saved(parse(text, {"w": w.astype(np.float32), "v": v.astype(np.float32)}), tmp_path))
    assert read.read_back
    assert {(width, 4, 1, 1), (16, width * (1 + joined), 1, 1)} == {
        tuple(value.shape.numpy()) for value in read.model.graph.initializers.values() if value.shape is not None
    }
