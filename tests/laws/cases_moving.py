"""Cases of operators that move, join, pad, pool or resize, and of those that stay barriers."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array


@cases_for("Reshape")
def reshape(d: Draw, op: str) -> Case:
    shape = [d.pick([1, 2, 3, 4, 6]) for _ in range(d.whole(1, 4))]
    target, count = [], int(np.prod(shape))
    while count > 1 and d.flag(0.8):
        divisor = d.pick([n for n in range(1, count + 1) if count % n == 0])
        target.append(divisor)
        count //= divisor
    target.append(count)
    if d.flag(0.4):
        target = d.pick([[*shape[:1], -1], [-1, shape[-1]], [0, -1], [-1]])
    return call(op, d.normal(*shape), np.array(target, np.int64), opset=d.pick([7, 13, 14, 21]))


@cases_for("Flatten")
def flatten(d: Draw, op: str) -> Case:
    shape = d.shape()
    return call(
        op, d.normal(*shape), opset=d.pick([9, 13, 21]), axis=d.pick([None, 0, 1, len(shape)]) if len(shape) > 1 else 0
    )


@cases_for("Transpose")
def transpose(d: Draw, op: str) -> Case:
    shape = d.shape()
    perm = list(range(len(shape)))
    d.random.shuffle(perm)
    return call(op, d.normal(*shape), opset=d.pick([7, 13, 21]), perm=perm if d.flag(0.8) else None)


@cases_for("Squeeze")
def squeeze(d: Draw, op: str) -> Case:
    shape = list(d.shape(2, 4))
    axis = d.whole(0, len(shape) - 1)
    shape[axis] = 1
    axis = axis if d.flag() else axis - len(shape)
    if d.flag(0.3):
        return call(op, d.normal(*shape), opset=d.pick([7, 13]))
    if d.flag(0.4):
        return call(op, d.normal(*shape), opset=11, axes=[axis])
    return call(op, d.normal(*shape), np.array([axis]), opset=d.pick([13, 21]))


@cases_for("Unsqueeze")
def unsqueeze(d: Draw, op: str) -> Case:
    shape = d.shape(0, 3)
    axis = d.whole(0, len(shape))
    if d.flag(0.4):
        return call(op, d.normal(*shape), opset=11, axes=[axis])
    return call(op, d.normal(*shape), np.array([axis if d.flag() else axis - len(shape) - 1]), opset=d.pick([13, 21]))


@cases_for("Split")
def split(d: Draw, op: str) -> Case:
    sizes = [d.whole(1, 3) for _ in range(d.whole(1, 3))]
    even = d.flag(0.3)
    sizes = [sizes[0]] * len(sizes) if even else sizes
    shape = list(d.shape(1, 4))
    axis = d.whole(0, len(shape) - 1)
    shape[axis] = sum(sizes)
    opset = d.pick([11, 13, 18])
    named = axis if d.flag() else axis - len(shape)
    inputs: list[Array] = [d.normal(*shape)]
    extra: dict[str, Any] = {}
    if even and opset < 18:
        pass
    elif even and d.flag():
        extra = {"num_outputs": len(sizes)}
    elif opset >= 13:
        inputs.append(np.array(sizes))
    else:
        extra = {"split": sizes}
    return call(op, *inputs, opset=opset, outputs=len(sizes), axis=named, **extra)


@cases_for("Slice")
def slicing(d: Draw, op: str) -> Case:
    shape = d.shape(1, 4, 6)
    axes = sorted({d.whole(0, len(shape) - 1) for _ in range(d.whole(1, 2))})
    starts: list[int] = []
    ends: list[int] = []
    steps: list[int] = []
    for axis in axes:
        low = d.whole(0, shape[axis] - 1)
        high = d.whole(low + 1, shape[axis])
        step = d.pick([1, 1, 1, 2])
        if d.flag(0.15):
            low, high, step = high - 1, (low - 1 if low else -shape[axis] - 1), -1
        elif d.flag(0.3):
            low, high = d.pick([low, low - shape[axis]]), d.pick([high, 2**31 - 1])
        starts, ends, steps = [*starts, low], [*ends, high], [*steps, step]
    if d.flag(0.25) and all(s == 1 for s in steps):
        return call(op, d.normal(*shape), opset=9, starts=starts, ends=ends, axes=axes)
    steps_input = np.array(steps) if d.flag(0.8) or any(s != 1 for s in steps) else None
    named = np.array([a if d.flag() else a - len(shape) for a in axes])
    arrays = [np.array(starts), np.array(ends), named, steps_input]
    if d.flag(0.25) and all(step == 1 for step in steps):  # bounds that are computed at run time
        fed = d.pick([(0, 1), (0, 2), (0, 1, 2)])
        samplers: dict[int, Any] = {p: (lambda *_, kept=arrays[p - 1]: kept) for p in fed[1:]}
        return call(op, d.normal(*shape), *arrays, opset=d.pick([10, 13]), fed=fed, samplers=samplers)
    return call(op, d.normal(*shape), *arrays, opset=d.pick([10, 13]))


@cases_for("Gather")
def gather(d: Draw, op: str) -> Case:
    shape = d.shape(1, 4)
    axis = d.whole(0, len(shape) - 1)
    indices = d.ints(-shape[axis] if d.flag(0.3) else 0, shape[axis] - 1, *d.shape(0, 2, 3))
    named = axis if d.flag() else axis - len(shape)
    opset = d.pick([8, 11, 13])
    if d.flag(0.3):
        samplers = {1: whole(0, shape[axis] - 1)}
        fed = (1,) if d.flag() else (0, 1)
        return call(op, d.weight(*shape), indices, fed=fed, samplers=samplers, opset=opset, axis=named)
    return call(op, d.normal(*shape), indices, opset=opset, axis=named)


@cases_for("Expand")
def expand(d: Draw, op: str) -> Case:
    target = d.shape()
    start = d.whole(0, len(target)) if d.flag(0.3) else 0
    shape = tuple(1 if d.flag(0.4) else n for n in target[start:])
    asked = tuple(1 if n == t and d.flag(0.3) else t for n, t in zip((*(0,) * start, *shape), target, strict=True))
    return call(op, d.normal(*shape), np.array(asked, np.int64), opset=d.pick([8, 13]))


@cases_for("Tile")
def tile(d: Draw, op: str) -> Case:
    shape = d.shape()
    return call(op, d.normal(*shape), np.array([d.pick([1, 1, 2, 3]) for _ in shape]), opset=d.pick([7, 13]))


@cases_for("DepthToSpace")
def depth_to_space(d: Draw, op: str) -> Case:
    x = d.normal(d.whole(1, 2), 4 * d.whole(1, 3), d.whole(1, 3), d.whole(1, 3))
    return call(op, x, opset=d.pick([11, 13]), blocksize=2, mode=d.pick([None, "DCR", "CRD"]))


@cases_for("SpaceToDepth")
def space_to_depth(d: Draw, op: str) -> Case:
    return call(op, d.normal(d.whole(1, 2), d.whole(1, 3), 2 * d.whole(1, 2), 2 * d.whole(1, 2)), blocksize=2)


@cases_for("Concat")
def concat(d: Draw, op: str) -> Case:
    shape, count = d.shape(), d.whole(1, 3)
    axis = d.whole(0, len(shape) - 1)
    arrays = [d.normal(*(d.whole(1, 3) if a == axis else n for a, n in enumerate(shape))) for _ in range(count)]
    fed = [i for i in range(count) if i == 0 or d.flag(0.7)]
    return call(op, *arrays, opset=d.pick([7, 11, 13]), fed=fed, axis=axis if d.flag() else axis - len(shape))


@cases_for("Pad")
def pad(d: Draw, op: str) -> Case:
    shape = tuple(n + 1 for n in d.shape(1, 4, 3))
    mode = d.pick([None, "constant", "constant", "edge", "reflect"])
    axes = [a for a in range(len(shape)) if d.flag(0.7 if a > 1 else 0.3)]
    # onnxruntime reflects no axis that has a single entry left once another was taken away.
    fewest = {a: -1 if d.flag(0.1) and (mode != "reflect" or shape[a] > 2) else 0 for a in axes}
    amounts = {a: (d.whole(fewest[a], 1), d.whole(0, 1)) for a in axes}
    named = axes if axes and d.flag(0.3) else list(range(len(shape)))
    pads = [amounts.get(a, (0, 0))[0] for a in named] + [amounts.get(a, (0, 0))[1] for a in named]
    value = d.pick([None, 0.0, 1.5, 1.0])
    if named != list(range(len(shape))):
        fill = None if value is None else np.array(value, np.float32)
        negative = np.array([a - len(shape) if d.flag(0.3) else a for a in named])
        return call(op, d.normal(*shape), np.array(pads), fill, negative, opset=d.pick([18, 21]), mode=mode)
    if d.flag(0.3):
        return call(op, d.normal(*shape), opset=d.pick([7, 10]), mode=mode, pads=pads, value=value)
    fill = None if value is None else np.array(value, np.float32)
    fed = (0, 1) if d.flag(0.4) else (0,)  # amounts that are computed at run time
    kept: dict[int, Any] = {1: lambda *_: np.array(pads)} if fed[1:] else {}
    return call(
        op, d.normal(*shape), np.array(pads), fill, opset=d.pick([11, 13, 18]), fed=fed, samplers=kept, mode=mode
    )


def pool_window(d: Draw, extra: dict[str, Any]) -> str:
    """Add strides and padding to the attributes of a pool that has a kernel; returns the kind of padding."""
    kernel = extra["kernel_shape"]
    if d.flag(0.5):
        extra["strides"] = [d.whole(1, 3) for _ in kernel]
    kind = d.pick(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if kind == "pads":
        extra["pads"] = [d.whole(0, k - 1) for k in kernel * 2]
    elif kind != "none":
        extra["auto_pad"] = kind
        if kind != "VALID" and "strides" in extra:  # otherwise the padding would be negative
            extra["strides"] = [min(a, b) for a, b in zip(extra["strides"], kernel, strict=True)]
    return kind


@cases_for("MaxPool", "AveragePool", "LpPool")
def pool(d: Draw, op: str) -> Case:
    n = d.pick([1, 2, 2, 3]) if op != "LpPool" else 2
    kernel = [d.whole(1, 3) for _ in range(n)]
    extra: dict[str, Any] = {"kernel_shape": kernel}
    opset = d.pick({"MaxPool": [8, 10, 12], "AveragePool": [7, 10, 11, 19], "LpPool": [11, 18]}[op])
    kind = pool_window(d, extra)
    if opset >= 10 and op != "LpPool" and d.flag(0.4) and kind in ("none", "pads"):
        extra["ceil_mode"] = 1
    if op == "AveragePool" and d.flag():
        extra["count_include_pad"] = 1
    if (opset >= 19 or (op == "MaxPool" and opset >= 10)) and d.flag(0.3) and kind in ("none", "pads"):
        extra["dilations"] = [d.whole(1, 2) for _ in range(n)]
    shape = [d.whole(5, 7) if d.flag(0.8) else d.whole(max(kernel) * 2, 7) for _ in range(n)]
    return call(op, d.normal(d.whole(1, 2), d.whole(1, 4), *shape), opset=opset, **extra)


@cases_for("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(d: Draw, op: str) -> Case:
    return call(op, d.normal(d.whole(1, 2), d.whole(1, 5), *d.shape(1, 3)), opset=d.pick([7, 18]))


@cases_for("Resize")
def resize(d: Draw, op: str) -> Case:
    shape = (d.whole(1, 2), d.whole(1, 4), d.whole(2, 4), d.whole(2, 4))
    mode = d.pick(["nearest", "linear", "cubic"])
    factor = [1.0, 1.0, d.pick([1.0, 2.0, 0.5, 1.5]), d.pick([1.0, 2.0, 1.5])]
    if d.flag(0.2):
        return call(
            op, d.normal(*shape), np.array(factor, np.float32), opset=10, mode="nearest" if mode == "cubic" else mode
        )
    way = d.pick([None, "half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_crop_and_resize"])
    roi = None
    if way == "tf_crop_and_resize":
        roi = np.array([0, 0, 0.1, -0.2, 1, 1, 1.2, 0.9], np.float32)
        mode = "linear"
    extra: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": way,
        "extrapolation_value": d.pick([None, 3.0]),
    }
    opset = d.pick([11, 13, 18, 19])
    if roi is None and opset == 11:
        roi = np.array([], np.float32)
    if d.flag():
        sizes = [*shape[:2], *(max(1, int(n * f)) for n, f in zip(shape[2:], factor[2:], strict=True))]
        scales = np.array([], np.float32) if opset == 11 else None
        return call(op, d.normal(*shape), roi, scales, np.array(sizes), opset=opset, tolerance=2e-4, **extra)
    return call(op, d.normal(*shape), roi, np.array(factor, np.float32), opset=opset, tolerance=2e-4, **extra)


@cases_for("Upsample")
def upsample(d: Draw, op: str) -> Case:
    x, scales = d.normal(1, d.whole(1, 4), 2, 3), [1.0, 1.0, 2.0, 2.0]
    if d.flag():
        return call(op, x, opset=7, scales=scales, mode="nearest")
    return call(op, x, np.array(scales, np.float32), opset=9, mode=d.pick(["nearest", "linear"]))


@cases_for("Shape", "Size")
def shape_of(d: Draw, op: str) -> Case:
    return call(op, d.normal(*d.shape()), opset=13)


@cases_for("ConstantOfShape")
def constant_of_shape(d: Draw, op: str) -> Case:
    value = d.pick([None, np.array([2.5], np.float32), np.array([3], np.int64), np.array([1], np.bool_)])
    shape = np.array(d.shape(), np.int64)
    made = None if value is None else numpy_helper.from_array(value)
    return call(op, shape, samplers={0: lambda *_: shape}, constants=False, opset=d.pick([9, 20]), value=made)
