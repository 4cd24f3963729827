"""Bounds of what a runtime computes in halves, against NumPy: every sum in an order of its own, fused or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import settings

from analyzer.bounds import interval_bounds
from analyzer.bounds.arithmetic import ARITHMETIC
from analyzer.facts.domain import Box
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, all_values, parse

NETS = max(settings().max_examples // 4, 8)
POINTS = 12
SIZES = (1e-7, 1e-5, 1e-3, 0.1, 1.0, 1.0, 20.0)  # of weights and inputs: the first are no normal halves
Generator = np.random.Generator


def half(array: Array) -> Array:
    """What is stored or fed, as halves."""
    return np.asarray(array, np.float16)


def summed(terms: Array, random: Generator) -> Array:
    """The sum over the last axis of products [..., 2, terms], in an order that is drawn; some stay unrounded."""
    order = random.permutation(terms.shape[-1])
    factors, fused = terms[..., order], random.random() < 0.5
    parts = factors[..., 0, :] * factors[..., 1, :]
    if random.random() < 0.3:  # pair by pair
        while parts.shape[-1] > 1:
            if parts.shape[-1] % 2:
                parts = np.concatenate([parts, np.zeros_like(parts[..., :1])], axis=-1)
            parts = parts[..., ::2] + parts[..., 1::2]
        return np.asarray(parts[..., 0])
    total = np.zeros(parts.shape[:-1], np.float16)
    for place in range(parts.shape[-1]):
        exact = factors[..., 0, place].astype(np.float64) * factors[..., 1, place].astype(np.float64)
        total = half(total.astype(np.float64) + exact) if fused else total + parts[..., place]
    return total


def dense(x: Array, weight: Array, bias: Array, random: Generator) -> Array:
    """x W + b, the bias among the terms."""
    pairs = np.stack(np.broadcast_arrays(x[:, None, :], half(weight).T[None]), axis=-2)
    own = np.stack([np.broadcast_to(half(bias), pairs.shape[:2]), np.ones(pairs.shape[:2], np.float16)], axis=-1)
    return summed(np.concatenate([pairs, own[..., None]], axis=-1), random)


def conv(x: Array, weight: Array, bias: Array, random: Generator) -> Array:
    """Kernels of 3 x 3, padded by 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    rows = np.moveaxis(windows, 1, 3).reshape(-1, x.shape[1] * 9)
    found = dense(rows, half(weight).reshape(len(weight), -1).T, bias, random)
    return np.moveaxis(found.reshape(len(x), *x.shape[2:], len(weight)), -1, 1)


def mean(x: Array, random: Generator) -> Array:
    """Over the last axes, as global average pooling does."""
    flat = x.reshape(*x.shape[:2], -1)
    total = summed(np.stack([flat, np.ones_like(flat)], axis=-2), random)
    return (total / np.float16(flat.shape[-1]))[..., None, None]


Step = tuple[str, dict[str, Array], Callable[[Array, Generator], Array], tuple[int, ...]]


def step(kind: str, n: int, shape: tuple[int, ...], random: Generator) -> Step:
    """A node from `v{n}` to `v{n + 1}`: its text, what it stores, the same in halves, and the new shape."""
    x, y, size = f"v{n}", f"v{n + 1}", random.choice(SIZES)
    channels = shape[1]

    def drawn(*lengths: int) -> Array:
        array = random.normal(size=lengths) * size
        return np.where(random.random(lengths) < 0.1, 0, array).astype(np.float32)

    if kind == "dense":
        units = int(random.integers(1, 6))
        w, b = drawn(int(np.prod(shape[1:])), units), drawn(units)
        w[:, : int(random.integers(0, 2))] = 0  # a unit that reads nothing
        text = f"f{n} = Flatten ({x}) {y} = Gemm (f{n}, w{n}, b{n})"
        return text, {f"w{n}": w, f"b{n}": b}, lambda v, r: dense(v.reshape(len(v), -1), w, b, r), (1, units)
    if kind == "conv":
        w, b = drawn(2, channels, 3, 3), drawn(2)
        text = f"{y} = Conv <pads = [1, 1, 1, 1]> ({x}, w{n}, b{n})"
        return text, {f"w{n}": w, f"b{n}": b}, lambda v, r: conv(v, w, b, r), (1, 2, *shape[2:])
    if kind == "scale":
        a = drawn(1, channels, *[1] * (len(shape) - 2))
        return f"{y} = Mul ({x}, a{n})", {f"a{n}": a}, lambda v, _: v * half(a), shape
    if kind == "shift":
        a = drawn(1, channels, *[1] * (len(shape) - 2))
        return f"{y} = Add ({x}, a{n})", {f"a{n}": a}, lambda v, _: v + half(a), shape
    if kind == "twice":
        return f"{y} = Add ({x}, {x})", {}, lambda v, _: v + v, shape
    if kind == "relu":
        return f"{y} = Relu ({x})", {}, lambda v, _: np.maximum(v, np.float16(0)), shape
    if kind == "clip":
        ends = np.sort(half(random.normal(size=2))) if random.random() < 0.7 else np.array([0.1, 0.3], np.float32)
        stored = {f"l{n}": np.float32(ends[0]), f"h{n}": np.float32(ends[1])}
        arrays = {name: np.asarray(number) for name, number in stored.items()}
        return f"{y} = Clip ({x}, l{n}, h{n})", arrays, lambda v, _: np.clip(v, *map(half, ends)), shape
    if kind == "abs":
        return f"{y} = Abs ({x})", {}, lambda v, _: np.abs(v), shape
    if kind == "largest":
        return f"{y} = GlobalMaxPool ({x})", {}, lambda v, _: v.max(axis=(2, 3), keepdims=True), (1, channels, 1, 1)
    return f"{y} = GlobalAveragePool ({x})", {}, lambda v, r: mean(v, r), (1, channels, 1, 1)


KINDS = ("dense", "conv", "conv", "scale", "shift", "twice", "relu", "relu", "clip", "abs", "largest", "mean")


def net(random: Generator) -> tuple[onnx.ModelProto, list[Step], tuple[int, ...]]:
    """Some steps behind one another, each with its values in halves."""
    shape: tuple[int, ...] = (1, 3, 4, 4)
    steps, stored = list[Step](), dict[str, Array]()
    for n in range(int(random.integers(1, 6))):
        fitting = [kind for kind in KINDS if len(shape) == 4 or kind not in ("conv", "largest", "mean")]
        steps.append(step(str(random.choice(fitting)), n, shape, random))
        stored |= steps[-1][1]
        shape = steps[-1][3]
    lengths = ", ".join(map(str, shape))
    text = f"g (float[1, 3, 4, 4] v0) => (float[{lengths}] v{len(steps)}) {{ {' '.join(one[0] for one in steps)} }}"
    return parse(text, stored), steps, shape


def inputs_of(box: Box, random: Generator) -> Array:
    """Corners, and points within."""
    share = random.integers(0, 2, box.low.shape) if random.random() < 0.5 else random.random(box.low.shape)
    return np.asarray(np.clip(box.low + share * (box.high - box.low), box.low, box.high), np.float32)


def held(seed: int, arithmetic: str = "float16") -> int:
    """How many numbers lay between their bounds."""
    random, compared = np.random.default_rng(seed), 0
    model, steps, _ = net(random)
    size, shift = random.choice(SIZES), random.choice([0.0, 0.0, 1.0, -30.0])
    ends = np.sort(random.normal(size=(2, 1, 3, 4, 4)) * size + shift, axis=0).astype(np.float32)
    box, loaded = Box(ends[0], ends[1]), load_model(model)
    bounds = interval_bounds(loaded, measure_shapes(loaded, None), {"v0": box}, arithmetic=arithmetic, threads=1)
    for _ in range(POINTS):
        compared += _compared(steps, half(inputs_of(box, random)), bounds, random, seed)
    return compared


def _compared(steps: list[Step], value: Array, bounds: Mapping[str, Box], random: Generator, seed: int) -> int:
    compared = 0
    with np.errstate(all="ignore"):
        for n, (text, _, computed, _) in enumerate(steps, start=1):
            value = half(computed(value, random))
            if not np.isfinite(value).all():
                break  # bounds are about runs in which every value is a number
            if f"v{n}" in bounds:
                low, high = bounds[f"v{n}"].low, bounds[f"v{n}"].high
                assert ((low <= value) & (value <= high)).all(), f"seed {seed}: {text}"
                compared += value.size
    return compared


@pytest.mark.parametrize("seed", range(NETS))
def test_what_is_computed_in_halves_lies_between_its_bounds(seed: int) -> None:
    held(seed)


@pytest.mark.parametrize("seed", range(NETS))
def test_models_of_halves_lie_between_their_bounds_in_onnxruntime(seed: int) -> None:
    """It computes each operator in single precision on the CPU, and rounds in between."""
    random = np.random.default_rng(seed)
    _, steps, shape = net(random)
    stored = {name: half(array) for _, arrays, *_ in steps for name, array in arrays.items()}
    nodes, lengths = " ".join(text for text, *_ in steps), ", ".join(map(str, shape))
    model = parse(f"g (float16[1, 3, 4, 4] v0) => (float16[{lengths}] v{len(steps)}) {{ {nodes} }}", stored)
    ends = np.sort(half(random.normal(size=(2, 1, 3, 4, 4)) * random.choice(SIZES)), axis=0)
    box, loaded = Box(ends[0], ends[1]), load_model(model)
    bounds = interval_bounds(loaded, measure_shapes(loaded, None), {"v0": box}, arithmetic="float16", threads=1)
    for _ in range(4):
        fed = {"v0": np.clip(half(inputs_of(box, random)), box.low, box.high)}
        for name, value in all_values(model, fed).items():
            if name in bounds and np.isfinite(value).all():
                assert ((bounds[name].low <= value) & (value <= bounds[name].high)).all(), f"seed {seed}: {name}"


def test_most_nets_are_bounded_to_their_end() -> None:
    assert sum(held(seed) > 0 for seed in range(20)) >= 15


@pytest.mark.parametrize("arithmetic", ["float32", "tf32"])
def test_bounds_for_single_precision_do_not_hold_for_halves(arithmetic: str) -> None:
    """Or the law above would see nothing."""
    with pytest.raises(AssertionError, match="seed"):
        for seed in range(20):
            held(seed, arithmetic)


@pytest.mark.parametrize(
    "forgotten",
    [{"faint": 0.0, "small": 0.0}, {"lost": 0.0, "faint": 0.0}, {"inputs": True}, {"stored": True}],
    ids=str,
)
def test_what_is_forgotten_is_seen(forgotten: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers too small to be exact, inputs as they are fed, numbers that are stored."""
    if "inputs" in forgotten:
        monkeypatch.setattr("analyzer.bounds.intervals.halves_around", lambda *ends: ends)
    elif "stored" in forgotten:
        monkeypatch.setattr("analyzer.bounds.enclosure._stores_halves", lambda _: True)
    else:
        monkeypatch.setitem(ARITHMETIC, "float16", replace(ARITHMETIC["float16"], **forgotten))
    with pytest.raises(AssertionError, match="seed"):
        for seed in range(400):
            held(seed)
