"""Cases of operators that work element by element, of normalisations and of reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.laws.benches import Case, positive, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

CONTRIB = "com.microsoft"


def _attributes(d: Draw, op: str) -> dict[str, Any]:
    """Some attributes away from their defaults."""
    names = {
        "LeakyRelu": ("alpha",), "Elu": ("alpha",), "Celu": ("alpha",), "ThresholdedRelu": ("alpha",),
        "HardSigmoid": ("alpha", "beta"), "Selu": ("alpha", "gamma"), "Shrink": ("bias", "lambd"),
        "Swish": ("alpha",), "QuickGelu": ("alpha",),
    }.get(op, ())  # fmt: skip
    return {n: round(d.random.uniform(0.1, 1.9), 3) for n in names if d.flag()}


@cases_for(
    "Relu", "ThresholdedRelu", "HardSigmoid", "Sign", "Sigmoid", "Tanh", "Softsign", "LeakyRelu", "Elu", "Selu",
    "Celu", "HardSwish", "Softplus", "Shrink", "Neg", "Abs", "Floor", "Ceil", "Round", "Erf",
    "Sin", "Cos", "Atan", "Sqrt", "Log", "Exp", "Reciprocal", "Tan", "Sinh", "Cosh", "Identity",
)  # fmt: skip
def unary(d: Draw, op: str) -> Case:
    dtype = np.float64 if op in ("Relu", "Abs", "Neg", "Identity", "Exp", "Sigmoid") and d.flag(0.3) else np.float32
    oldest = {"Round": 11, "Celu": 12, "HardSwish": 14, "ThresholdedRelu": 10, "Shrink": 9, "Sign": 9, "Erf": 9}
    oldest |= {"Sin": 7, "Cos": 7, "Tan": 7, "Atan": 7, "Sinh": 9, "Cosh": 9}
    opset = d.pick([max(oldest.get(op, 8), 8), 15, 18, 21])
    return call(op, d.normal(*d.shape(), dtype=dtype), opset=opset, **_attributes(d, op))


@cases_for("Gelu", "Swish", "Mish")
def unary_new(d: Draw, op: str) -> Case:
    opset = {"Gelu": 20, "Swish": 24, "Mish": 18}[op]
    extra = {"approximate": d.pick(["none", "tanh"])} if op == "Gelu" and d.flag() else _attributes(d, op)
    return call(op, d.normal(*d.shape()), opset=opset, **extra)


@cases_for("Not")
def negation(d: Draw, op: str) -> Case:
    return call(op, d.ints(0, 1, *d.shape(), dtype=np.bool_))


@cases_for("Dropout")
def dropout(d: Draw, op: str) -> Case:
    x = d.normal(*d.shape())
    if d.flag():
        return call(op, x, opset=d.pick([7, 10]), ratio=0.4)
    training = np.array(False) if d.flag() else None
    return call(op, x, np.array(0.4, np.float32), training, opset=d.pick([12, 13, 22]))


@cases_for("Cast")
def cast(d: Draw, op: str) -> Case:
    source = d.pick([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, np.float16])
    target = d.pick([1, 1, 10, 11, 6, 7, 3, 9, 2, 12, 13])
    array = d.ints(0, 1, *d.shape(), dtype=np.bool_) if source is np.bool_ else d.normal(*d.shape()) * 3
    array = np.abs(array) if source is np.uint8 else array
    return call(op, array.astype(source), opset=d.pick([13, 19, 21]), to=target)


@cases_for("Clip")
def clip(d: Draw, op: str) -> Case:
    x = d.normal(*d.shape())
    low, high = d.pick([None, -1.0, 0.0, 2.0]), d.pick([None, 0.5, 6.0])
    if d.flag(0.3) and (low or 0) <= (high or 9):  # onnxruntime refuses crossed attributes
        return call(op, x, opset=d.pick([7, 8, 10]), min=low, max=high)
    bounds = [None if b is None else np.array(b, np.float32) for b in (low, high)]
    return call(op, x, *bounds, opset=d.pick([11, 13, 18]))


def _broadcast(d: Draw, count: int) -> list[tuple[int, ...]]:
    """Shapes that broadcast together; the first has them all with some chance."""
    whole_shape = d.shape()
    shapes = []
    for position in range(count):
        start = d.whole(0, len(whole_shape)) if position and d.flag(0.4) else 0
        shapes.append(tuple(1 if position and d.flag(0.25) else n for n in whole_shape[start:]))
    return shapes if d.flag(0.8) else shapes[::-1]


@cases_for(
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Equal", "Less", "Greater",
    "LessOrEqual", "GreaterOrEqual",
)  # fmt: skip
def aligned(d: Draw, op: str) -> Case:
    count = d.whole(1, 3) if op in ("Max", "Min", "Sum", "Mean") else 2
    shapes = _broadcast(d, count)
    kind: Any = np.float32
    if op in ("And", "Or", "Xor"):
        arrays = [d.ints(0, 1, *s, dtype=np.bool_) for s in shapes]
    elif op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Less", "Greater") and d.flag(0.25):
        narrow = (np.int8, np.uint8) if op in ("Add", "Sub", "Mul", "Div") else ()
        kind = d.pick([np.int32, np.int64, *narrow])
        arrays = [d.ints(1, d.pick([5, 100]), *s) * d.pick([1, -1 if kind is not np.uint8 else 1]) for s in shapes]
        arrays = [a.astype(kind) for a in arrays]
    elif op == "Pow":
        arrays = [np.abs(d.normal(*shapes[0])) + 0.1, np.rint(d.normal(*shapes[1]))]
    else:
        arrays = [d.normal(*s) for s in shapes]
    if op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Div") and kind is np.float32:
        arrays = [np.rint(a * 2) / 2 + (0.25 if op == "Div" else 0) for a in arrays]
    fed = [i for i in range(count) if i == 0 or d.flag(0.6)]
    samplers = {0: positive(), 1: whole(0, 3, np.float32)} if op == "Pow" else {}
    if op == "Div":
        samplers = {i: (whole(1, 5, kind) if kind is not np.float32 else positive()) for i in fed}
    opset = d.pick([13, 14, 18, 20])
    return call(op, *arrays, opset=max(opset, 14) if arrays[0].itemsize == 1 else opset, fed=fed, samplers=samplers)


@cases_for("PRelu")
def prelu(d: Draw, op: str) -> Case:
    shape = d.shape(2, 4)
    slope = d.pick([(1,), (shape[1], *(1,) * (len(shape) - 2)), shape])
    return call(op, d.normal(*shape), d.normal(*slope), opset=d.pick([9, 16]), fed=(0, 1) if d.flag(0.2) else (0,))


@cases_for("Where")
def where(d: Draw, op: str) -> Case:
    a, b, c = _broadcast(d, 3)
    fed = d.pick([(0,), (0, 1), (0, 2), (0, 1, 2), (1, 2)])
    return call(op, d.ints(0, 1, *a, dtype=np.bool_), d.normal(*b), d.normal(*c), opset=d.pick([9, 16]), fed=fed)


@cases_for("Gelu", "QuickGelu", domain=CONTRIB)
def contrib_unary(d: Draw, op: str) -> Case:
    return call(op, d.normal(*d.shape()), domain=CONTRIB, **_attributes(d, op))


@cases_for("BiasGelu", "FastGelu", domain=CONTRIB)
def bias_gelu(d: Draw, op: str) -> Case:
    shape = d.shape(2, 3)
    bias = None if op == "FastGelu" and d.flag() else d.normal(shape[-1])
    return call(op, d.normal(*shape), bias, domain=CONTRIB, fed=(0, 1) if bias is not None and d.flag(0.3) else (0,))


# -- normalisations -----------------------------------------------------------------------------------------------


def _gains(d: Draw, count: int) -> Array:
    """Scales of which some are exactly 0."""
    return np.where(d.arrays.random(count) < 0.4, 0, d.normal(count)).astype(np.float32)


def _maps(d: Draw, low: int = 2, high: int = 5) -> tuple[int, ...]:
    return (d.whole(1, 2), d.whole(1, 6), *(d.whole(1, 4) for _ in range(d.whole(low, high) - 2)))


@cases_for("BatchNormalization")
def batch_norm(d: Draw, op: str) -> Case:
    shape = _maps(d)
    n = shape[1]
    parameters = _gains(d, n), d.normal(n), d.normal(n), np.abs(d.normal(n)) + 0.1
    return call(op, d.normal(*shape), *parameters, opset=d.pick([7, 9, 14, 15, 18]), epsilon=d.pick([None, 1e-3]))


@cases_for("InstanceNormalization")
def instance_norm(d: Draw, op: str) -> Case:
    shape = (*_maps(d, 2, 2), *(d.whole(2, 4) for _ in range(d.whole(1, 2))))
    return call(op, d.normal(*shape), _gains(d, shape[1]), d.normal(shape[1]), opset=d.pick([7, 18]), tolerance=2e-3)


@cases_for("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_norm(d: Draw, op: str) -> Case:
    shape = d.shape(2, 4)
    axis = d.whole(1, len(shape) - 1)
    scale = _gains(d, int(np.prod(shape[axis:]))).reshape(shape[axis:])
    bias = d.normal(*shape[axis:]) if op == "LayerNormalization" and d.flag() else None
    outputs = ["y0", "y1", "y2"] if op == "LayerNormalization" and d.flag(0.3) else 1
    opset = {"LayerNormalization": 17, "RMSNormalization": 23}.get(op, 18)
    axis = axis - len(shape) if d.flag() else axis
    epsilon = d.pick([None, 0.5])
    fed = d.pick([(0,), (0,), (0, 1), (0, 2)])
    return call(op, d.normal(*shape), scale, bias, opset=opset, outputs=outputs, axis=axis, epsilon=epsilon, fed=fed)


@cases_for("GroupNormalization")
def group_norm(d: Draw, op: str) -> Case:
    groups, each = d.whole(1, 3), d.whole(1, 3)
    opset = d.pick([18, 21])
    n = groups * each if opset == 21 else groups
    shape = (d.whole(1, 2), groups * each, *(d.whole(1, 3) for _ in range(d.whole(1, 2))))
    return call(
        op, d.normal(*shape), _gains(d, n), d.normal(n), opset=opset, num_groups=groups, epsilon=d.pick([None, 0.0]),
        fed=d.pick([(0,), (0,), (0, 1), (0, 2)]),
    )  # fmt: skip


@cases_for("LRN")
def lrn(d: Draw, op: str) -> Case:
    return call(op, d.normal(d.whole(1, 2), d.whole(2, 6), 3, 2), size=d.pick([1, 3]), bias=d.pick([None, 2.0, 0.0]))


@cases_for("LpNormalization")
def lp_norm(d: Draw, op: str) -> Case:
    shape = d.shape(2, 3)
    return call(op, d.normal(*shape), axis=d.pick([-1, 0, 1]), p=d.pick([1, 2]))


@cases_for("Softmax", "LogSoftmax", "Hardmax")
def softmax(d: Draw, op: str) -> Case:
    shape = d.shape(2, 4)
    return call(op, d.normal(*shape), opset=d.pick([7, 11, 13]), axis=d.pick([None, 0, 1, len(shape) - 1]))


@cases_for("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=CONTRIB)
def skip_norm(d: Draw, op: str) -> Case:
    simple, shape = "Simplified" in op, (d.whole(1, 2), d.whole(1, 3), d.whole(1, 5))
    skip = d.pick([shape, shape, (1, *shape[1:]), shape[1:]])
    more = [] if simple else [d.normal(shape[2]) if d.flag(0.7) else None]
    more.append(d.normal(shape[2]) if d.flag(0.4) else None)
    outputs = d.pick([["y0"], ["y0", "", "", "y3"]])
    return call(
        op, d.normal(*shape), d.normal(*skip), _gains(d, shape[2]), *more, domain=CONTRIB, fed=(0, 1), outputs=outputs,
        epsilon=d.pick([None, 0.5]), tolerance=1e-4,
    )  # fmt: skip


@cases_for("EmbedLayerNormalization", domain=CONTRIB)
def embed_norm(d: Draw, op: str) -> Case:
    batch, steps, width = d.whole(1, 2), d.whole(1, 3), d.whole(1, 5)
    ids, kinds = d.ints(0, 4, batch, steps, dtype=np.int32), d.ints(0, 1, batch, steps, dtype=np.int32)
    segments = d.flag()
    mask = d.ints(0, 1, batch, steps, dtype=np.int32) if d.flag() else None
    at = d.ints(0, 3, d.pick([1, batch]), steps, dtype=np.int32) if d.flag() else None
    inputs = [
        ids, kinds if segments else None, d.normal(5, width), d.normal(4, width),
        d.normal(2, width) if segments else None, _gains(d, width), d.normal(width), mask, at,
    ]  # fmt: skip
    highest = {0: 4, 1: 1, 7: 1, 8: 3}
    return call(
        op, *inputs, domain=CONTRIB, fed=[p for p in highest if inputs[p] is not None], tolerance=1e-4,
        outputs=d.pick([["y0", "y1"], ["y0", "y1", "y2"]]), epsilon=d.pick([None, 1e-3]),
        samplers={p: whole(0, most, np.int32) for p, most in highest.items()},
    )  # fmt: skip


# -- reductions ---------------------------------------------------------------------------------------------------


@cases_for(
    "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd",
    "ReduceLogSum", "ReduceLogSumExp",
)  # fmt: skip
def reduction(d: Draw, op: str) -> Case:
    shape = d.shape(1, 4)
    samplers = {0: positive()} if op == "ReduceLogSum" else {}
    axes = sorted({d.whole(0, len(shape) - 1) for _ in range(d.whole(1, 2))})
    axes = [a - len(shape) for a in axes] if d.flag() else axes
    new = 13 if op == "ReduceSum" else 18
    opset = d.pick([11, 13, 18, 20])
    extra: dict[str, Any] = {}
    whole_numbers = op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum") and d.flag(0.2)
    inputs = [d.ints(-5, 5, *shape, dtype=np.int32) if whole_numbers else d.normal(*shape)]
    if d.flag(0.8):
        if opset >= new:
            inputs.append(np.array(axes, np.int64))
        else:
            extra["axes"] = axes
    elif opset >= new and d.flag():
        extra["noop_with_empty_axes"] = 1
    return call(op, *inputs, opset=opset, samplers=samplers, keepdims=d.pick([None, 0, 1]), **extra)
