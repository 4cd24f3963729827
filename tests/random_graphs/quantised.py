"""Random graphs whose weights are stored in few bits: MatMulNBits, DequantizeLinear with and without blocks, tables."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import helper

from tests.models import LARGEST_BYTE, Array
from tests.random_graphs.builder import Builder, Value
from tests.random_graphs.generator import SAMPLES, Made

CONTRIB = "com.microsoft"
BLOCK = 16
SMALL = (-LARGEST_BYTE, LARGEST_BYTE + 1)


def make_few_bits(seed: int) -> Made:
    """The graph of a seed; all randomness comes from it."""
    b = Builder(seed)
    random = np.random.default_rng(seed + 1)
    if b.chance(0.3):
        x, data = _looked_up(b, random)
    else:
        x = Value("x", (5,))
        data = [np.asarray(random.standard_normal((SAMPLES, 5)), np.float32) for _ in range(2)]
        data[1] *= 3
        x = b.activation(b.dense(x, 2 * BLOCK))
    for _ in range(b.pick([1, 2, 2])):
        x = _few_bits(b, x, b.pick([1, 2, 3]) * BLOCK)
        x = b.node(b.pick(["Relu", "Relu", "Tanh"]), [x.name], x.shape)
    y = b.dense(x, 3)
    given = [Value("x", () if data[0].dtype.kind == "i" else (5,))]
    model = b.model(given, [y], free=data[0].dtype.kind == "i" or b.chance(0.7))
    model.graph.input[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(data[0].dtype)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)])
    model.ir_version = 10
    return Made(model, {"x": data[0]}, {"x": data[1]})


def _looked_up(b: Builder, random: np.random.Generator) -> tuple[Value, list[Array]]:
    """Rows of a table in blocks, some of which are zero."""
    rows, blocks = 7, b.pick([1, 2, 3, 4])
    table = b.rng.integers(0, 256, (rows, blocks * BLOCK // 2)).astype(np.uint8)
    scales = _scales(b, rows, blocks)
    scales[:, b.some(blocks)] = 0
    names = [b.store("q", table), "x", b.store("s", scales)]
    if b.chance(0.5):
        names.append(b.store("z", b.rng.integers(0, 256, (rows, -(-blocks // 2))).astype(np.uint8)))
    named = {"block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
    y = b.node("GatherBlockQuantized", names, (blocks * BLOCK,), domain=CONTRIB, **named)
    return y, [random.integers(0, rows, SAMPLES) for _ in range(2)]


def _few_bits(b: Builder, x: Value, out: int) -> Value:
    """A product with stored numbers of few bits, and a bias that kills units: one by one, or by blocks."""
    bias = (b.rng.standard_normal(out) * 0.3).astype(np.float32)
    killed = (
        np.isin(np.arange(out) // BLOCK, b.some(out // BLOCK))
        if b.chance(0.5)
        else np.isin(np.arange(out), b.some(out))
    )
    bias[killed] = b.pick([-100.0, -100.0, 100.0])
    y = _in_bits(b, x, out, bias) if b.chance(0.5) else _dequantised(b, x, out)
    return y if b.nodes[-1].input[-1].startswith("bias") else b.node("Add", [y.name, b.store("b", bias)], (out,))


def _in_bits(b: Builder, x: Value, out: int, bias: Array) -> Value:
    (inner,) = x.shape
    blocks, bits, level = -(-inner // BLOCK), b.pick([2, 4, 4, 8]), b.pick([0, 1, 4])
    packed = b.rng.integers(0, 256, (out, blocks, BLOCK * bits // 8)).astype(np.uint8)
    names = [x.name, b.store("q", packed), b.store("s", _scales(b, out, blocks) * 2 ** (4 - bits))]
    kind = b.pick(["none", "packed", "float" if bits == 4 else "none"])
    points = {
        "none": None,
        "packed": b.rng.integers(0, 256, (out, -(-blocks * bits // 8))).astype(np.uint8),
        "float": b.rng.uniform(6, 9, (out, blocks)).astype(np.float32),
    }[kind]
    names.append("" if points is None else b.store("z", points))
    if b.chance(0.5):
        names += ["", b.store("bias", bias)]
    named = {"K": inner, "N": out, "bits": bits, "block_size": BLOCK, "accuracy_level": level}
    return b.node("MatMulNBits", names, (out,), domain=CONTRIB, **named)


def _dequantised(b: Builder, x: Value, out: int) -> Value:
    """A MatMul with a matrix that is stored in four bits, with scales for all, per column, or per block."""
    (inner,) = x.shape
    kind, dtype = b.pick(["all", "column", "block", "block"]), b.pick([ml_dtypes.int4, ml_dtypes.uint4])
    shape: tuple[int, ...] = {"all": (), "column": (out,), "block": (-(-inner // BLOCK), out)}[kind]
    low, high = (-8, 8) if dtype is ml_dtypes.int4 else (0, 16)
    numbers = [b.store("q", b.rng.integers(low, high, (inner, out)).astype(dtype)), b.store("s", _scales(b, *shape))]
    if b.chance(0.6) or low == 0:
        numbers.append(b.store("z", b.rng.integers(low + 6, high - 6, shape).astype(dtype)))
    named: dict[str, Any] = {"axis": 1} if kind == "column" else {"axis": 0, "block_size": BLOCK} if shape else {}
    weight = b.node("DequantizeLinear", numbers, (inner, out), **named)
    return b.node("MatMul", [x.name, weight.name], (out,))


def _scales(b: Builder, *shape: int) -> Array:
    return np.asarray(b.rng.uniform(0.01, 0.05, shape), np.float32)


def make_dynamic(seed: int) -> Made:
    """Products that are quantised while the model runs, as onnxruntime's tools write and fuse them."""
    b = Builder(seed)
    random = np.random.default_rng(seed + 1)
    given = Value("x", (4, 5) if b.chance(0.3) else (5,))
    x = _remembering(b, given) if len(given.shape) == 2 and b.chance(0.6) else given
    for _ in range(b.pick([2, 2, 3])):
        out = b.pick([4, 8, 12])
        bias = (b.rng.standard_normal(out) * 0.3).astype(np.float32)
        bias[b.some(out)] = b.pick([-100.0, -100.0, 100.0])
        x = _dynamic(b, x, out, bias)
        x = _clipped(b, x) if b.chance(0.3) else b.node("Relu", [x.name], x.shape)
    model = b.model([given], [b.dense(x, 3)], free=b.chance(0.5))
    model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    probe, fresh = (np.asarray(random.standard_normal((SAMPLES, *given.shape)), np.float32) for _ in range(2))
    return Made(model, {"x": probe}, {"x": fresh * 3})


def _remembering(b: Builder, x: Value) -> Value:
    """DynamicQuantizeLSTM, with units that nothing enters and units that are constant from the first step on."""
    steps, inside = x.shape
    directions, hidden = b.pick([1, 1, 2]), b.pick([3, 5, 8])
    w, r = (b.rng.integers(*SMALL, (directions, n, 4, hidden)) for n in (inside, hidden))
    bias = (b.rng.standard_normal((directions, 2, 4, hidden)) * 0.3).astype(np.float32)
    for direction, unit in np.ndindex(directions, hidden):
        kind = b.pick(["alive", "alive", "empty", "empty", "shut"])
        if kind == "empty":
            w[direction, :, -1, unit], r[direction, :, -1, unit], bias[direction, :, -1, unit] = 0, 0, 0
        elif kind == "shut":
            w[direction, :, :, unit], r[direction, :, :, unit], bias[direction, 1, :, unit] = 0, 0, 0
            bias[direction, 0, :, unit] = [200, 200, -200, 0.5]
    shape = (directions, 4 * hidden) if b.chance(0.5) else (directions,)
    stored = [b.store("w", a.reshape(directions, -1, 4 * hidden).astype(np.int8)) for a in (w, r)]
    scale, zero = (
        b.store("s", b.rng.uniform(0.004, 0.01, shape).astype(np.float32)),
        b.store("z", np.zeros(shape, np.int8)),
    )
    turned = b.node("Transpose", [x.name], x.shape, perm=[1, 0, 2])
    names = [turned.name, *stored, b.store("b", bias.reshape(directions, -1)), *[""] * 4, scale, zero, scale, zero]
    direction = "bidirectional" if directions == 2 else b.pick(["forward", "reverse"])
    y = b.node("DynamicQuantizeLSTM", names, (), domain=CONTRIB, hidden_size=hidden, direction=direction)
    back = b.node("Transpose", [y.name], (), perm=[2, 0, 1, 3])
    width = directions * hidden
    return b.node("Reshape", [back.name, b.store("rs", np.array([-1, steps, width]))], (steps, width))


def _clipped(b: Builder, x: Value) -> Value:
    """With units that rest at a number other than zero, too."""
    return b.node("Clip", [x.name, *(b.store("lim", np.array(v, np.float32)) for v in (0, 6))], x.shape)


def _dynamic(b: Builder, x: Value, out: int, bias: Array) -> Value:
    """A product of integers, whole or fused."""
    inner, shape = x.shape[-1], (*x.shape[:-1], out)
    weight = b.rng.integers(*SMALL, (inner, out)).astype(np.int8)
    several = (out,) if b.chance(0.5) else ()
    scale, point = (
        b.rng.uniform(0.004, 0.01, several).astype(np.float32),
        b.rng.integers(-9, 10, several).astype(np.int8),
    )
    if b.chance(0.3):
        dead = b.some(out)
        weight[:, dead] = point[dead] if several else point
    w, s, z = b.store("w", weight), b.store("s", scale), b.store("z", point)
    form = b.pick(["apart", "fused", "whole"])
    if form == "whole":
        return b.node("DynamicQuantizeMatMul", [x.name, w, s, z, b.store("bias", bias)], shape, domain=CONTRIB)
    b.count += 1
    q, q_scale, q_zero = (f"{stem}{b.count}" for stem in ("quantised", "scale", "zero"))
    b.nodes.append(
        helper.make_node("DynamicQuantizeLinear", [x.name], [q, q_scale, q_zero], name=f"Quantise_{b.count}")
    )
    if form == "fused":
        names = [q, w, q_scale, s, q_zero, z, b.store("bias", bias)]
        return b.node("MatMulIntegerToFloat", names, shape, domain=CONTRIB)
    total = b.node("Cast", [b.node("MatMulInteger", [q, w, q_zero, z], shape).name], shape, to=1)
    factor = b.node("Mul", [q_scale, s], several)
    return b.node("Add", [b.node("Mul", [total.name, factor.name], shape).name, b.store("bias", bias)], shape)
