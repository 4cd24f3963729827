"""Cases of onnxruntime's operators on quantised values."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tests.laws.benches import Case, Sampler
from tests.laws.cases_moving import pool_window
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

CONTRIB = "com.microsoft"


class _Type:
    """An element type, and the values, scales and zero points that go with it."""

    def __init__(self, d: Draw) -> None:
        self.d, self.dtype = d, d.pick([np.uint8, np.int8])
        self.limits = np.iinfo(self.dtype)
        self.plain = d.flag(0.6)

    def scale(self) -> Array:
        """A step up to 1/4; simple fractions bring halves, which kernels round in their own ways."""
        if not self.plain:
            return np.asarray(2.0 ** self.d.arrays.uniform(-6, -2), np.float32)
        return np.asarray(2.0 ** self.d.whole(-6, -2) / self.d.pick([1, 1, 3, 5, 7]), np.float32)

    def zero(self) -> Array:
        """Often the lowest integer, as after a Relu."""
        low, high = self.limits.min, self.limits.max
        point = self.d.pick([low, low, (low + high + 1) // 2, self.d.whole(low, high)])
        return np.asarray(point, self.dtype)

    def triple(self, *shape: int) -> tuple[Array, Array, Array]:
        """A value, its scale and its zero point."""
        scale, zero = self.scale(), self.zero()
        return self.sampler(zero)(self.d.arrays, shape), scale, zero

    def sampler(self, zero: Array) -> Sampler:
        """Integers of the whole range, many of them at the zero point, some of them zero."""
        low, high, dtype, point = int(self.limits.min), int(self.limits.max), self.dtype, int(zero)

        def sample(g: np.random.Generator, shape: tuple[int, ...]) -> Array:
            kind, free = g.random(shape), g.integers(low, high + 1, shape)
            return np.asarray(np.where(kind < 0.4, point, np.where(kind < 0.55, 0, free))).astype(dtype)

        return sample


@cases_for("QLinearAdd", "QLinearMul", domain=CONTRIB)
def qlinear_binary(d: Draw, op: str) -> Case:
    t, shape = _Type(d), d.shape()
    start = d.whole(0, len(shape)) if d.flag(0.4) else 0
    other = tuple(1 if d.flag(0.25) else n for n in shape[start:])
    first, second = (t.triple(*s) for s in ((shape, other) if d.flag() else (other, shape)))
    fed = d.pick([(0, 3), (0, 3), (0,), (3,)])
    samplers = {0: t.sampler(first[2]), 3: t.sampler(second[2])}
    return call(op, *first, *second, t.scale(), t.zero(), domain=CONTRIB, fed=fed, samplers=samplers)


@cases_for("QLinearSigmoid", "QLinearLeakyRelu", domain=CONTRIB)
def qlinear_activation(d: Draw, op: str) -> Case:
    t = _Type(d)
    x = t.triple(*d.shape())
    alpha = round(d.random.uniform(-0.5, 2.5), 3) if op == "QLinearLeakyRelu" and d.flag() else None
    scale = np.array(d.pick([1 / 255, 1 / 256, 1 / 128]), np.float32) if op == "QLinearSigmoid" else t.scale()
    return call(op, *x, scale, t.zero(), domain=CONTRIB, samplers={0: t.sampler(x[2])}, alpha=alpha)


@cases_for("QLinearSoftmax", domain=CONTRIB)
def qlinear_softmax(d: Draw, op: str) -> Case:
    t, shape = _Type(d), d.shape(2, 4)
    x = t.triple(*shape)
    tail = (np.array(1 / 256, np.float32), np.array(t.limits.min, t.dtype))
    axis = d.pick([None, 0, 1, -1, len(shape) - 1])
    case = call(op, *x, *tail, domain=CONTRIB, samplers={0: t.sampler(x[2])}, axis=axis)
    case.node.attribute.append(helper.make_attribute("opset", d.pick([7, 11, 13, 18])))
    return case


def _maps(d: Draw, space: int, extra: dict[str, Any]) -> tuple[int, ...]:
    """Maps with the channels in front of the positions or behind them."""
    positions = tuple(d.whole(4, 7) for _ in range(space))
    if not d.flag(0.3):
        return (d.whole(1, 2), d.whole(1, 4), *positions)
    extra["channels_last"] = 1
    return (d.whole(1, 2), *positions, d.whole(1, 4))


@cases_for("QLinearAveragePool", domain=CONTRIB)
def qlinear_pool(d: Draw, op: str) -> Case:
    t, n = _Type(d), d.pick([1, 2, 2, 3])
    kernel = [d.whole(1, 3) for _ in range(n)]
    extra: dict[str, Any] = {"kernel_shape": kernel, "count_include_pad": int(d.flag())}
    kind = pool_window(d, extra)
    if kind in ("none", "pads") and d.flag(0.4):
        extra["ceil_mode"] = 1
    x = t.triple(*_maps(d, n, extra))
    return call(op, *x, t.scale(), t.zero(), domain=CONTRIB, samplers={0: t.sampler(x[2])}, **extra)


@cases_for("QLinearGlobalAveragePool", domain=CONTRIB)
def qlinear_global_pool(d: Draw, op: str) -> Case:
    t = _Type(d)
    extra: dict[str, Any] = {}
    x = t.triple(*_maps(d, d.whole(1, 3), extra))
    return call(op, *x, t.scale(), t.zero(), domain=CONTRIB, samplers={0: t.sampler(x[2])}, **extra)


@cases_for("QLinearConcat", domain=CONTRIB)
def qlinear_concat(d: Draw, op: str) -> Case:
    t, shape, count = _Type(d), d.shape(), d.whole(1, 3)
    axis = d.whole(0, len(shape) - 1)
    scale, zero = t.scale(), t.zero()
    parts = []
    for _ in range(count):
        part = t.triple(*(d.whole(1, 3) if a == axis else n for a, n in enumerate(shape)))
        parts.append((t.sampler(zero)(d.arrays, part[0].shape), scale, zero) if d.flag(0.3) else part)  # copied as is
    fed = [3 * i + 2 for i in range(count) if i == 0 or d.flag(0.7)]
    samplers = {p: t.sampler(parts[p // 3][2]) for p in fed}
    inputs = [array for part in parts for array in part]
    named = axis if d.flag() else axis - len(shape)
    return call(op, scale, zero, *inputs, domain=CONTRIB, fed=fed, samplers=samplers, axis=named)


@cases_for("QLinearWhere", domain=CONTRIB)
def qlinear_where(d: Draw, op: str) -> Case:
    t, shape = _Type(d), d.shape()
    shapes = [tuple(1 if d.flag(0.25) else n for n in shape) for _ in range(3)]
    first, second = t.triple(*shapes[1]), t.triple(*shapes[2])
    fed = d.pick([(0,), (0, 1), (0, 4), (0, 1, 4), (1, 4)])
    samplers = {1: t.sampler(first[2]), 4: t.sampler(second[2])}
    condition = d.ints(0, 1, *shapes[0], dtype=np.bool_)
    tail = (t.scale(), t.zero())
    return call(op, condition, *first, *second, *tail, domain=CONTRIB, fed=fed, samplers=samplers)
