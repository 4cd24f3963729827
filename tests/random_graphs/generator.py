"""Random graphs of every shape that the rewrite knows: `make(seed)` gives a model, a probe and fresh inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from tests.models import Array
from tests.random_graphs.builder import Builder, Value

SAMPLES = 5


@dataclass(frozen=True)
class Made:
    """A random model, the data it is pruned on, and other data."""

    model: onnx.ModelProto
    probe: dict[str, Array]
    fresh: dict[str, Array]


def make(seed: int) -> Made:
    """The graph of a seed; all randomness comes from it."""
    b = Builder(seed)
    kind = b.pick(["2d", "2d", "2d", "2d", "1d", "3d", "dense", "tokens"])
    shape = {"2d": (3, 6, 7), "1d": (3, 9), "3d": (2, 4, 4, 3), "dense": (6,), "tokens": (5, 8)}[kind]
    x = Value("x", shape)
    grow: Callable[[Builder, Value], Value] = {"dense": dense_step, "tokens": token_step}.get(kind, map_step)
    value, seen = x, []
    for _ in range(int(b.rng.integers(2, 6))):
        value = grow(b, value)
        seen.append(value)
    last = dense_head(b, value)
    outputs = [last, *(v for v in seen[-2:] if b.chance(0.15))]
    model = b.model([x], outputs, free=b.chance(0.7))
    random = np.random.default_rng(seed + 1)
    probe, fresh = (random.standard_normal((SAMPLES, *shape)).astype(np.float32) for _ in range(2))
    return Made(model, {"x": probe}, {"x": fresh * 3})


def block(b: Builder, x: Value, out: int, **fixed: Any) -> Value:
    """Convolution, perhaps BatchNorm, perhaps an activation."""
    y = b.conv(x, out, **fixed)
    y = b.norm(y) if b.chance(0.5) else y
    return b.activation(y) if b.chance(0.85) else y


def map_step(b: Builder, x: Value) -> Value:
    """One step on feature maps."""
    steps = [
        widen, widen, widen, residual, residual, residual, concat, concat, split, slice_or_gather, shuffle, pool,
        depthwise, upsample, gate, padded, channels_last, normalise, scaled, stem_fan_out,
    ]  # fmt: skip
    step: Callable[[Builder, Value], Value] = b.pick(steps)
    return step(b, x)


def widen(b: Builder, x: Value) -> Value:
    return block(b, x, b.pick([2, 4, 6, 8]))


def residual(b: Builder, x: Value) -> Value:
    if b.chance(0.5):
        x = block(b, x, b.pick([4, 6]))
    inner = block(b, x, b.pick([2, 4, 8]), keep=True)
    other = b.conv(inner, x.shape[0], keep=True)
    other = b.norm(other) if b.chance(0.5) else other
    op = b.pick(["Add", "Add", "Add", "Sub", "Mul", "Max"])
    y = b.node(op, [x.name, other.name] if b.chance(0.5) else [other.name, x.name], x.shape)
    return b.activation(y) if b.chance(0.7) else y


def stem_fan_out(b: Builder, x: Value) -> Value:
    stem = b.node("Relu", [b.conv(x, 6, keep=True).name], (6, *x.shape[1:]))
    inner = block(b, stem, 6, keep=True, group=1)
    return b.node("Add", [stem.name, inner.name], stem.shape)


def concat(b: Builder, x: Value) -> Value:
    parts = [block(b, x, b.pick([2, 4]), keep=True) for _ in range(2)]
    parts = [x, *parts] if b.chance(0.4) else parts
    y = b.node("Concat", [p.name for p in parts], (sum(p.shape[0] for p in parts), *x.shape[1:]), axis=1)
    return b.conv(y, 4) if b.chance(0.5) else y


def split(b: Builder, x: Value) -> Value:
    x = block(b, x, 6)
    sizes = b.pick([(3, 3), (2, 4), (4, 2)])
    b.count += 1
    names = [f"part{b.count}a", f"part{b.count}b"]
    b.nodes.append(
        onnx.helper.make_node("Split", [x.name, b.store("sz", np.array(sizes))], names, axis=1, name=f"Split_{b.count}")
    )
    parts = [Value(n, (s, *x.shape[1:])) for n, s in zip(names, sizes, strict=True)]
    if b.chance(0.5):
        parts[0] = block(b, parts[0], 2, keep=True)
    return b.node("Concat", [p.name for p in reversed(parts)], (sum(p.shape[0] for p in parts), *x.shape[1:]), axis=1)


def slice_or_gather(b: Builder, x: Value) -> Value:
    x = block(b, x, 6)
    if b.chance(0.5):
        bounds = [b.store("sl", np.array([v])) for v in (1, 5, 1, b.pick([1, 2]))]
        step = int(b.stored[bounds[3]][0])
        return b.node("Slice", [x.name, *bounds], (len(range(1, 5, step)), *x.shape[1:]))
    indices = np.array(b.pick([[5, 0, 3], [0, 0, 1, 4], [2, 4, 1, 3, 0, 5]]))
    return b.node("Gather", [x.name, b.store("ix", indices)], (len(indices), *x.shape[1:]), axis=1)


def shuffle(b: Builder, x: Value) -> Value:
    x = block(b, x, 6, group=1)
    space, rank = x.shape[1:], len(x.shape)
    groups = b.pick([2, 3])
    y = b.node(
        "Reshape", [x.name, b.store("rs", np.array([-1, groups, 6 // groups, *space]))], (groups, 6 // groups, *space)
    )
    y = b.node("Transpose", [y.name], (6 // groups, groups, *space), perm=[0, 2, 1, *range(3, rank + 2)])
    y = b.node("Reshape", [y.name, b.store("rs", np.array([-1, 6, *space]))], x.shape)
    return b.conv(y, 6, group=b.pick([1, 2, 3]), keep=True)


def pool(b: Builder, x: Value) -> Value:
    n = len(x.shape) - 1
    if min(x.shape[1:]) < 2:
        return widen(b, x)
    pad, op = b.pick([0, 1]), b.pick(["MaxPool", "AveragePool", "AveragePool"])
    more = {"count_include_pad": b.pick([0, 1])} if op == "AveragePool" else {}
    size = [s + 2 * pad - 1 for s in x.shape[1:]]
    return b.node(op, [x.name], (x.shape[0], *size), kernel_shape=[2] * n, pads=[pad] * 2 * n, **more)


def depthwise(b: Builder, x: Value) -> Value:
    x = block(b, x, b.pick([4, 6]), group=1)
    times = b.pick([1, 1, 2])
    return block(b, block(b, x, times * x.shape[0], group=x.shape[0]), 4, group=1)


def upsample(b: Builder, x: Value) -> Value:
    if max(x.shape[1:]) > 12:
        return widen(b, x)
    return b.activation(b.conv_transpose(x, b.pick([2, 4])))


def gate(b: Builder, x: Value) -> Value:
    """Squeeze and excitation."""
    x = block(b, x, 6)
    ones = [1] * (len(x.shape) - 1)
    y = b.node("GlobalAveragePool", [x.name], (x.shape[0], *ones))
    y = b.node("Relu", [b.conv(y, 4, kernel=ones, keep=True).name], (4, *ones))
    y = b.node(
        b.pick(["Sigmoid", "HardSigmoid"]), [b.conv(y, x.shape[0], kernel=ones, keep=True).name], (x.shape[0], *ones)
    )
    return b.node("Mul", [x.name, y.name], x.shape)


def padded(b: Builder, x: Value) -> Value:
    x = block(b, x, 4)
    rank, mode = len(x.shape) + 1, b.pick(["constant", "constant", "edge"])
    pads = np.zeros((2, rank), np.int64)
    pads[:, -1] = b.pick([1, 2])
    fill = [b.store("pv", np.array(b.pick([0.0, 1.5]), np.float32))] if mode == "constant" and b.chance(0.6) else []
    shape = (*x.shape[:-1], x.shape[-1] + int(pads[:, -1].sum()))
    y = b.node("Pad", [x.name, b.store("pa", pads.reshape(-1)), *fill], shape, mode=mode)
    return b.conv(y, 4)


def channels_last(b: Builder, x: Value) -> Value:
    """Dense layers and a LayerNormalization on the channels, moved to the end."""
    x = block(b, x, 6)
    rank = len(x.shape) + 1
    y = b.node("Transpose", [x.name], (*x.shape[1:], x.shape[0]), perm=[0, *range(2, rank), 1])
    if b.chance(0.4):
        scale, shift = (b.rng.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(2))
        y = b.node("LayerNormalization", [y.name, b.store("ls", scale), b.store("lb", shift)], y.shape)
    y = b.dense(y, b.pick([4, 8]))
    y = b.node("Relu", [y.name], y.shape)
    y = b.dense(y, 4)
    return b.node("Transpose", [y.name], (4, *x.shape[1:]), perm=[0, rank - 1, *range(1, rank - 1)])


def normalise(b: Builder, x: Value) -> Value:
    x = block(b, x, 4)
    if int(np.prod(x.shape[1:])) < 2:
        return x
    scale, shift = (b.store(s, b.rng.uniform(0.5, 1.5, 4).astype(np.float32)) for s in ("is", "ib"))
    return b.node("InstanceNormalization", [x.name, scale, shift], x.shape)


def scaled(b: Builder, x: Value) -> Value:
    """Arithmetic with stored operands along the channels."""
    x = block(b, x, 4)
    operand = b.rng.uniform(0.5, 1.5, (4, *([1] * (len(x.shape) - 1)))).astype(np.float32)
    operand[b.some(4, 0.3)] = 0
    y = b.node(b.pick(["Mul", "Add", "Sub"]), [x.name, b.store("op", operand)], x.shape)
    return b.activation(y)


def dense_step(b: Builder, x: Value) -> Value:
    """One step on feature vectors."""
    y = b.activation(b.dense(x, b.pick([4, 8, 12])))
    roll = b.rng.random()
    if roll < 0.25:
        other = b.dense(y, y.shape[-1])
        return b.node("Add", [y.name, other.name], y.shape)
    if roll < 0.4:
        return b.node("Concat", [x.name, y.name], (x.shape[0] + y.shape[0],), axis=-1)
    if roll < 0.5:
        scale, shift = (b.store(s, b.rng.uniform(0.5, 1.5, y.shape[0]).astype(np.float32)) for s in ("ls", "lb"))
        return b.node("LayerNormalization", [y.name, scale, shift], y.shape)
    return y


def token_step(b: Builder, x: Value) -> Value:
    """Attention or a feed-forward part, with a residual."""
    time, width = x.shape
    if b.chance(0.5):
        y = b.dense(x, b.pick([8, 12]))
        y = b.node(b.pick(["Relu", "Gelu", "Relu"]), [y.name], y.shape)
        y = b.dense(y, width)
        return b.node("Add", [x.name, y.name], x.shape)
    heads, each = 2, 4
    parts = []
    for _ in range(3):
        p = b.dense(x, heads * each)
        p = b.node("Reshape", [p.name, b.store("rs", np.array([0, 0, heads, each]))], (time, heads, each))
        parts.append(b.node("Transpose", [p.name], (heads, time, each), perm=[0, 2, 1, 3]))
    keys = b.node("Transpose", [parts[1].name], (heads, each, time), perm=[0, 1, 3, 2])
    scores = b.node("MatMul", [parts[0].name, keys.name], (heads, time, time))
    weights = b.node("Softmax", [scores.name], scores.shape, axis=-1)
    y = b.node("MatMul", [weights.name, parts[2].name], (heads, time, each))
    y = b.node("Transpose", [y.name], (time, heads, each), perm=[0, 2, 1, 3])
    y = b.node("Reshape", [y.name, b.store("rs", np.array([0, 0, heads * each]))], (time, heads * each))
    y = b.dense(y, width)
    return b.node("Add", [x.name, y.name], x.shape)


def dense_head(b: Builder, x: Value) -> Value:
    """From anything to a few numbers."""
    if len(x.shape) > 2 or (len(x.shape) == 2 and b.chance(0.5)):
        roll = b.rng.random()
        flat = int(np.prod(x.shape))
        if roll < 0.4:
            ones = [1] * (len(x.shape) - 1)
            x = b.node("GlobalAveragePool", [x.name], (x.shape[0], *ones))
            flat = x.shape[0]
        if roll < 0.7:
            x = b.node("Flatten", [x.name], (flat,))
        else:
            x = b.node("Reshape", [x.name, b.store("rs", np.array([-1, flat]))], (flat,))
    y = b.activation(b.dense(x, 6)) if b.chance(0.5) else x
    return b.dense(y, 3)
