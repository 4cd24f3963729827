"""Random graphs whose weights are stored in few bits: MatMulNBits, DequantizeLinear with and without blocks, tables."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import helper

from tests.models import Array
from tests.random_graphs.builder import Builder, Value
from tests.random_graphs.generator import SAMPLES, Made

CONTRIB = "com.microsoft"
BLOCK = 16


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
