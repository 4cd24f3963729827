"""Cases of weighted sums: convolutions, matrix products, their fused and quantised forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

CONTRIB = "com.microsoft"


def _window(d: Draw, kernel: tuple[int, ...], same: bool = True) -> dict[str, Any]:
    """Strides, dilations and padding."""
    n = len(kernel)
    found: dict[str, Any] = {}
    if d.flag(0.4):
        found["strides"] = [d.whole(1, 2) for _ in range(n)]
    if d.flag(0.3):
        found["dilations"] = [d.whole(1, 2) for _ in range(n)]
    kind = d.pick(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"] if same else ["none", "pads"])
    if kind == "pads":
        found["pads"] = [d.whole(0, max(k - 1, 0)) for k in (*kernel, *kernel)]
    elif kind != "none":
        found["auto_pad"] = kind
        if kind.startswith("SAME"):
            found.pop("dilations", None)  # onnxruntime's SAME does not allow them
    return found


def _groups(d: Draw) -> tuple[int, int, int]:
    """Number of groups, channels in and out per group: dense, grouped or depthwise."""
    kind = d.pick(["dense", "dense", "grouped", "depthwise"])
    if kind == "dense":
        return 1, d.whole(1, 4), d.whole(1, 4)
    return (d.whole(2, 3), d.whole(1, 3), d.whole(1, 3)) if kind == "grouped" else (d.whole(2, 4), 1, d.whole(1, 2))


@cases_for("Conv")
def conv(d: Draw, op: str) -> Case:
    n = d.pick([1, 2, 2, 3])
    kernel = tuple(d.whole(1, 3) for _ in range(n))
    groups, ins, outs = _groups(d)
    x = d.normal(d.whole(1, 2), groups * ins, *(d.whole(5, 6) for _ in range(n)))
    w = d.weight(groups * outs, ins, *kernel)
    bias = d.normal(groups * outs) if d.flag() else None
    group = groups if groups > 1 else d.pick([None, 1])
    shape = list(kernel) if d.flag() else None
    return call(op, x, w, bias, opset=d.pick([7, 11, 18, 22]), group=group, kernel_shape=shape, **_window(d, kernel))


@cases_for("ConvTranspose")
def conv_transpose(d: Draw, op: str) -> Case:
    n = d.pick([1, 2])
    kernel = tuple(d.whole(1, 3) for _ in range(n))
    groups, ins, outs = _groups(d)
    x = d.normal(d.whole(1, 2), groups * ins, *(d.whole(4, 5) for _ in range(n)))
    w = d.weight(groups * ins, outs, *kernel)
    bias = d.normal(groups * outs) if d.flag() else None
    window = _window(d, kernel, same=d.flag(0.4))
    strides = window.get("strides", [1] * n)
    if d.flag(0.2) and "strides" in window:
        window["output_padding"] = [s - 1 for s in strides]
    elif d.flag(0.2):
        # The run finds the padding for the length that is asked for; auto_pad says at which end the odd one goes.
        window.pop("pads", None)
        window["output_shape"] = [
            s * (length - 1) + 1 + d.whole(0, s - 1) for s, length in zip(strides, x.shape[2:], strict=True)
        ]
    return call(op, x, w, bias, opset=d.pick([7, 11, 22]), group=groups if groups > 1 else None, **window)


@cases_for("FusedConv", domain=CONTRIB)
def fused_conv(d: Draw, op: str) -> Case:
    case = conv(d, "Conv")
    names = {"Relu": None, "Tanh": None, "Sigmoid": None, "LeakyRelu": [0.2], "Clip": [0.0, 6.0]}
    names |= {"HardSigmoid": [0.3, 0.4]}
    activation = d.pick(list(names))
    arrays = [case.arrays[n] for n in case.node.input]
    given = {a.name: _value(a) for a in case.node.attribute}
    return call(op, *arrays, domain=CONTRIB, activation=activation, activation_params=names[activation], **given)


def _value(attribute: onnx.AttributeProto) -> Any:
    return helper.get_attribute_value(attribute)


def _product(d: Draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes for numpy's matmul: ranks 1 to 4, batch axes that broadcast."""
    k, batch = d.whole(1, 4), tuple(d.whole(1, 3) for _ in range(d.whole(0, 2)))
    sides = []
    for core in ((d.whole(1, 4), k), (k, d.whole(1, 4))):
        start = d.whole(0, len(batch)) if d.flag(0.4) else 0
        sides.append((*(1 if d.flag(0.2) else n for n in batch[start:]), *core))
    if d.flag(0.1):
        sides[0] = (k,)
    if d.flag(0.1):
        sides[1] = (k,)
    return sides[0], sides[1]


def _weight(d: Draw, shape: tuple[int, ...]) -> Array:
    array = d.weight(*shape[-2:]) if len(shape) > 1 else d.normal(*shape)
    return np.asarray(np.broadcast_to(array, shape) * np.ones(shape, np.float32) if len(shape) > 2 else array)


@cases_for("MatMul")
def matmul(d: Draw, op: str) -> Case:
    a, b = _product(d)
    return call(op, _weight(d, a), _weight(d, b), opset=d.pick([9, 13]), fed=d.pick([(0,), (0,), (1,), (0, 1)]))


@cases_for("FusedMatMul", domain=CONTRIB)
def fused_matmul(d: Draw, op: str) -> Case:
    a, b = _product(d)
    flags: dict[str, Any] = {}
    if len(a) > 1 and len(b) > 1 and d.flag():
        a, flags["transA"] = (*a[:-2], a[-1], a[-2]), 1
    if len(a) > 1 and len(b) > 1 and d.flag():
        b, flags["transB"] = (*b[:-2], b[-1], b[-2]), 1
    fed = d.pick([(0,), (0,), (1,), (0, 1)])
    return call(op, _weight(d, a), _weight(d, b), domain=CONTRIB, fed=fed, alpha=d.pick([None, 0.5]), **flags)


@cases_for("Gemm")
def gemm(d: Draw, op: str) -> Case:
    m, k, n = d.whole(1, 4), d.whole(1, 5), d.whole(1, 5)
    a, b = d.flag(0.3), d.flag()
    x, w = d.weight(*((k, m) if a else (m, k))), d.weight(*((n, k) if b else (k, n)))
    c = d.pick([None, (n,), (n,), (1, n), (m, n), (m, 1), (1,), ()])
    bias = None if c is None else d.normal(*c)
    fed = d.pick([(0,), (0,), (0,), (1,), (0, 1), (0, 2)])
    flags: dict[str, Any] = {"transA": int(a) if a or d.flag() else None, "transB": int(b) if b or d.flag() else None}
    scales: dict[str, Any] = {"alpha": d.pick([None, 0.5]), "beta": d.pick([None, 2.0, 0.0])}
    if bias is None:
        fed = tuple(i for i in fed if i < 2)
    return call(op, x, w, bias, opset=d.pick([11, 13]), fed=fed, **flags, **scales)


@cases_for("FusedGemm", domain=CONTRIB)
def fused_gemm(d: Draw, op: str) -> Case:
    case = gemm(d, "Gemm")
    names = {"Relu": {}, "Tanh": {}, "Sigmoid": {}, "LeakyRelu": {"activation_alpha": 0.2}}
    activation = d.pick(list(names))
    arrays = [case.arrays[n] for n in case.node.input]
    given = {a.name: _value(a) for a in case.node.attribute} | names[activation]
    fed = [i for i, n in enumerate(case.node.input) if n not in case.stored]
    return call(op, *arrays, domain=CONTRIB, fed=fed, activation=activation, **given)


@cases_for("Einsum")
def einsum(d: Draw, op: str) -> Case:
    a, b, y = d.pick(
        [("bi", "ij", "bj"), ("bsi", "io", "bso"), ("bhqd", "bhkd", "bhqk"), ("bi", "oi", "bo"), ("bi", "bi", "b"),
         ("bshd", "hde", "bse"), ("i", "j", "ij"), ("bij", "bjk", "bik"), ("bij", "kj", "ikb")]
    )  # fmt: skip
    lengths = {letter: d.whole(1, 4) for letter in "bijkoshdqe"}
    arrays = [d.weight(*(lengths[i] for i in letters)) for letters in (a, b)]
    equation = f"{a},{b}->{y}" if d.flag() else f"{a}, {b} -> {y}"
    return call(op, *arrays, opset=12, fed=d.pick([(0,), (0,), (1,), (0, 1)]), equation=equation)


# -- quantised ----------------------------------------------------------------------------------------------------


def _scale(d: Draw, *shape: int) -> Array:
    """Powers of two, and fractions of which a product lies at a half in float32 and beside it in double precision."""
    odd = np.where(d.arrays.random(shape) < 0.5, 1, 2 * d.arrays.integers(1, 4, shape) + 1)
    return np.asarray(2.0 ** d.arrays.integers(-6, -2, shape) / odd, np.float32)


def _zero(d: Draw, dtype: Any, *shape: int) -> Array:
    return d.ints(*((100, 140) if dtype is np.uint8 else (-5, 5)), *shape, dtype=dtype)


@cases_for("QuantizeLinear", "DequantizeLinear")
def linear(d: Draw, op: str) -> Case:
    shape, opset = d.shape(1, 4), d.pick([10, 13, 19, 21])
    axis, dtype = d.whole(0, len(shape) - 1), d.pick([np.uint8, np.int8])
    per_channel = opset >= 13 and d.flag()
    size: tuple[int, ...] = (shape[axis],) if per_channel else ()
    extra: dict[str, Any] = {"axis": axis if d.flag() else axis - len(shape)} if per_channel else {}
    if opset == 21 and per_channel and shape != (1,) and d.flag(0.7):
        extra["block_size"] = block = d.whole(1, 3)
        longer = shape[axis] * block - (d.whole(0, block - 1) if d.flag(0.3) else 0)
        size, shape = shape, (*shape[:axis], longer, *shape[axis + 1 :])
    zero = _zero(d, dtype, *size) if d.flag(0.8) else None
    if op == "QuantizeLinear":
        if zero is None and opset == 21 and d.flag():
            extra["output_dtype"] = 3
        return call(op, d.normal(*shape), _scale(d, *size), zero, opset=opset, **extra)
    x = (
        d.ints(0, 255, *shape, dtype=np.uint8)
        if dtype is np.uint8 or zero is None
        else d.ints(-90, 90, *shape, dtype=dtype)
    )
    return call(op, x, _scale(d, *size), zero, opset=opset, **extra)


@cases_for("QuantizeLinear", "DequantizeLinear", domain=CONTRIB)
def contrib_linear(d: Draw, op: str) -> Case:
    shape = d.shape(1, 3)
    x = d.normal(*shape) if op == "QuantizeLinear" else d.ints(0, 255, *shape, dtype=np.uint8)
    return call(op, x, _scale(d), _zero(d, np.uint8), domain=CONTRIB)


def _integer_conv(d: Draw) -> tuple[Array, Array, dict[str, Any]]:
    kernel = (d.whole(1, 3), d.whole(1, 3))
    groups, ins, outs = _groups(d)
    x = d.ints(110, 140, d.whole(1, 2), groups * ins, 5, 5, dtype=np.uint8)
    w = np.clip(d.weight(groups * outs, ins, *kernel) * 4, -100, 100).astype(np.int8)
    return x, w, {"group": groups if groups > 1 else None, **_window(d, kernel)}


def around_zero(zero: int) -> Any:
    """Bytes, of which many lie at their zero point."""
    return lambda g, s: np.where(g.random(s) < 0.4, zero, whole(110, 140)(g, s)).astype(np.uint8)


def _zero_point(d: Draw, zero: Array | None) -> dict[str, Any]:
    """How operand 0 is drawn, around its zero point at position 2: none, stored, or computed as well."""
    if zero is not None and d.flag():
        return {"fed": (0, 2), "samplers": {0: around_zero(120), 2: whole(110, 130, np.uint8)}, "rests": {0: 2}}
    return {"samplers": {0: around_zero(0 if zero is None else int(zero))}}


@cases_for("DynamicQuantizeLinear")
def dynamic_linear(d: Draw, op: str) -> Case:
    return call(op, d.normal(*d.shape(1, 4)), opset=11, outputs=3)


@cases_for("ConvInteger")
def conv_integer(d: Draw, op: str) -> Case:
    x, w, window = _integer_conv(d)
    x_zero = _zero(d, np.uint8) if d.flag(0.8) else None
    w_zero = np.array(0, np.int8) if x_zero is not None and d.flag(0.4) else None
    return call(op, x, w, x_zero, w_zero, opset=10, **_zero_point(d, x_zero), **window)


@cases_for("QLinearConv")
def qlinear_conv(d: Draw, op: str) -> Case:
    x, w, window = _integer_conv(d)
    out = (w.shape[0],) if d.flag() else ()
    zero = _zero(d, np.uint8)
    bias = d.ints(-200, 200, w.shape[0], dtype=np.int32) if d.flag() else None
    if bias is not None and d.flag(0.2):
        bias = np.where(bias > 0, (1 << 31) - 1 - bias, bias).astype(np.int32)  # no room for more
    rest = np.zeros(out, np.int8)
    if d.flag(0.3):
        w, rest = (w + np.int16(128)).astype(np.uint8), np.full(out, 128, np.uint8)
    tail = (w, _scale(d, *out), rest, _scale(d), _zero(d, np.uint8), bias)
    return call(op, x, _scale(d), zero, *tail, opset=10, samplers={0: around_zero(int(zero))}, **window)


def _matrix(d: Draw, rests: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Integers [4, columns], their scale and their zero point: one for all, or one per column."""
    columns = d.whole(1, 4)
    shape = (columns,) if d.flag() else ()
    rest = np.asarray(d.arrays.choice(rests, shape), np.int8)
    return np.clip(d.weight(4, columns) * 4 + rest, -100, 100).astype(np.int8), _scale(d, *shape), rest


@cases_for("MatMulInteger")
def matmul_integer(d: Draw, op: str) -> Case:
    a = (*((2,) if d.flag(0.3) else ()), d.whole(1, 3), 4)
    zero = _zero(d, np.uint8) if d.flag(0.8) else None
    w, _, rest = _matrix(d, (0, 3, -7))
    return call(op, d.ints(110, 140, *a, dtype=np.uint8), w, zero, rest, opset=10, **_zero_point(d, zero))


@cases_for("MatMulIntegerToFloat", domain=CONTRIB)
def integers_to_float(d: Draw, op: str) -> Case:
    zero, (w, scale, rest) = (_zero(d, np.uint8) if d.flag(0.8) else None), _matrix(d, (0, 3, -7))
    x = d.ints(110, 140, *((2,) if d.flag(0.3) else ()), d.whole(1, 3), 4, dtype=np.uint8)
    bias = d.normal(w.shape[1]) if d.flag() else None
    around: dict[str, Any] = {"samplers": {0: around_zero(0 if zero is None else int(zero))}}
    if zero is not None and d.flag():
        around = {"fed": (0, 2, 4), "samplers": {0: around_zero(120), 4: whole(110, 130, np.uint8)}, "rests": {0: 4}}
    return call(op, x, w, _scale(d), scale, zero, rest, bias, domain=CONTRIB, tolerance=1e-4, **around)


@cases_for("DynamicQuantizeMatMul", domain=CONTRIB)
def dynamic_product(d: Draw, op: str) -> Case:
    w, scale, rest = _matrix(d, (0, 3, -7))
    x, bias = d.normal(*((2,) if d.flag(0.3) else ()), d.whole(1, 3), 4), (d.normal(w.shape[1]) if d.flag() else None)
    return call(op, x, w, scale, rest if d.flag(0.8) else None, bias, domain=CONTRIB, tolerance=1e-4)


@cases_for("QLinearMatMul")
def qlinear_matmul(d: Draw, op: str) -> Case:
    zero = _zero(d, np.uint8)
    tail = (*_matrix(d, (0, 3, -7)), _scale(d), _zero(d, np.uint8))
    x = d.ints(110, 140, d.whole(1, 3), 4, dtype=np.uint8)
    return call(op, x, _scale(d), zero, *tail, opset=10, samplers={0: around_zero(int(zero))})


@cases_for("QGemm", domain=CONTRIB)
def qgemm(d: Draw, op: str) -> Case:
    zero, turned = _zero(d, np.uint8), d.flag()
    w, scale, rest = _matrix(d, (0, 3, -7))
    bias = (
        d.ints(-50, 50, *d.pick([w.shape[1:], w.shape[1:], (1, w.shape[1])]), dtype=np.int32) if d.flag(0.8) else None
    )
    tail = (w.T if turned else w, scale, rest, bias, _scale(d), d.pick([_zero(d, np.uint8), np.array(0, np.uint8)]))
    x = d.ints(110, 140, d.whole(1, 3), 4, dtype=np.uint8)
    samplers = {0: around_zero(int(zero))}
    return call(op, x, _scale(d), zero, *tail, domain=CONTRIB, samplers=samplers, transB=int(turned))
