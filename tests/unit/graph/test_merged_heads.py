"""Heads that views merge with samples get an axis of their own where nothing else changes, and can be cut then."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.graph import merged_heads
from analyzer.graph.serialize import serialize
from analyzer.runtime.loading import load_model
from tests.models import Array, parse, run

STEPS, HEADS, SIZE = 5, 3, 4
WIDTH = HEADS * SIZE
PROJECTED = "xt = Transpose<perm=[1, 0, 2]>(x) q = MatMul(xt, wq) k = MatMul(xt, wk) v = MatMul(xt, wv)"
SEEN = "s = Shape(xt) t = Gather(s, zero) n = Gather(s, one) m = Mul(n, heads) to = Concat<axis=0>(t, m, size)"
VIEWED = "qv = Reshape(q, to) kv = Reshape(k, to) vv = Reshape(v, to)"
TURNED = "qt = Transpose<perm=[1, 0, 2]>(qv) kt = Transpose<perm=[1, 2, 0]>(kv) vt = Transpose<perm=[1, 0, 2]>(vv)"
SCORED = "qs = Mul(qt, scale) b = MatMul(qs, kt)"
MASKS = {
    "none": "a = Identity(b)",
    "causal": "a = Add(b, causal)",
    "of one sample": "a = Add(causal1, b)",
    "padding": "p4 = Reshape(pad, four) pe = Expand(p4, wide) p3 = Reshape(pe, three) a = Add(b, p3)",
}
WEIGHED = "w = Softmax<axis=-1>(a) o = MatMul(w, vt) ot = Transpose<perm=[1, 0, 2]>(o) f = Reshape(ot, flat)"
ENDED = "g = MatMul(f, wo) y = Relu(g)"
AVERAGED = "four4 = Concat<axis=0>(n, heads, t, t) w4 = Reshape(w, four4) mean = ReduceMean<axes=[1], keepdims=0>(w4)"
LINES = [PROJECTED, SEEN, VIEWED, TURNED, SCORED, MASKS["none"], WEIGHED, ENDED]


def stored(seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 3 for name in ("wq", "wk", "wv", "wo")}
    causal = np.triu(np.full((STEPS, STEPS), -9, np.float32), 1)
    numbers = {"zero": [0], "one": [1], "heads": [HEADS], "size": [SIZE], "flat": [-1, WIDTH]}
    numbers |= {
        "four": [-1, 1, 1, STEPS],
        "wide": [1, HEADS, 1, 1],
        "three": [-1, 1, STEPS],
        "merged": [-1, HEADS, SIZE],
    }
    masks = {
        "causal": causal,
        "causal1": causal[np.newaxis],
        "scale": np.array(0.5, np.float32),
        "per_head": causal[:3, :1],
    }
    return {**weights, **masks, **{name: np.array(values) for name, values in numbers.items()}}


def model(lines: list[str], also: str = "", **changed: Array) -> onnx.ModelProto:
    """`also` are further outputs."""
    body = " ".join(lines)
    used = {name: a for name, a in {**stored(), **changed}.items() if f"{name})" in body or f"{name}," in body}
    inputs = f"float[N, {STEPS}, {WIDTH}] x" + (f", float[N, {STEPS}] pad" if "pad," in body else "")
    return parse(f"g ({inputs}) => (float[A, {WIDTH}] y{also}) {{ {body} }}", used, 17)


def feeds(proto: onnx.ModelProto, samples: int) -> dict[str, Array]:
    rng = np.random.default_rng(samples)
    shapes = {"x": (samples, STEPS, WIDTH), "pad": (samples, STEPS)}
    return {value.name: rng.normal(size=shapes[value.name]).astype(np.float32) for value in proto.graph.input}


def apart(proto: onnx.ModelProto) -> bool:
    """Whether heads got an axis of their own; what comes out is the same, at any batch."""
    read = onnx.load_from_string(serialize(load_model(proto)))
    for samples in (1, 4):
        expected, given = run(proto, feeds(proto, samples)), run(read, feeds(proto, samples))
        for name, array in expected.items():
            np.testing.assert_allclose(given[name], array, rtol=0, atol=1e-6 * np.abs(array).max())
    return any(tensor.name.endswith("/heads") for tensor in read.graph.initializer)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("averaged", [False, True])
def test_heads_are_kept_apart(mask: str, averaged: bool) -> None:
    lines = [*LINES[:5], MASKS[mask], WEIGHED, ENDED, *([AVERAGED] if averaged else [])]
    assert apart(model(lines, ", float[B, C, D] mean" if averaged else ""))


def test_views_that_merge_and_part_again_before_the_products() -> None:
    parted = "q4 = Reshape(qt, heads4) k4 = Reshape(kt, turned4) v4 = Reshape(vt, heads4)"
    products = "qs = Mul(q4, scale) b = MatMul(qs, k4) w = Softmax<axis=-1>(b) o = MatMul(w, v4)"
    ended = "ot = Transpose<perm=[2, 0, 1, 3]>(o) f = Reshape(ot, flat)"
    targets = {"heads4": np.array([-1, HEADS, STEPS, SIZE]), "turned4": np.array([-1, HEADS, SIZE, STEPS])}
    assert apart(model([*LINES[:4], parted, products, ended, ENDED], "", **targets))


UNLIKE = {
    "steps and samples are merged": [line.replace("Reshape(q, to)", "Reshape(q, merged)") for line in LINES],
    "all views merge steps": [line.replace(", to)", ", merged)") for line in LINES],
    "a mask per head": [line.replace("Identity(b)", "Add(b, other)") for line in LINES],
    "sums over all heads": [*LINES, "z = ReduceSum<axes=[0]>(w)"],
    "a length is copied": [line.replace("Reshape(ot, flat)", "Reshape(ot, copied)") for line in LINES],
    "one side alone": [line.replace("MatMul(w, vt)", "MatMul(w, every)") for line in LINES],
    "a softmax over heads": [line.replace("Softmax<axis=-1>", "Softmax<axis=0>") for line in LINES],
}


@pytest.mark.parametrize("lines", UNLIKE.values(), ids=UNLIKE)
def test_what_does_more_with_them_is_left_as_it_is(lines: list[str]) -> None:
    rng, every = np.random.default_rng(1), " ".join(lines)
    changed = {"copied": np.array([0, -1]), "every": rng.normal(size=(STEPS, SIZE)).astype(np.float32)}
    changed["other"] = rng.normal(size=(HEADS, STEPS, STEPS)).astype(np.float32)
    also = ", float[B, C, D] z" if "z =" in every else ""
    text = model(lines, also, **changed)
    text.graph.output[0].type.tensor_type.shape.Clear()
    if "copied" in every:
        text = model([line.replace("MatMul(f, wo)", "Reshape(f, flat)") for line in lines], also, **changed)
    read = load_model(text)
    assert not any(name.endswith("/heads") for name in read.model.graph.initializers)


@pytest.mark.parametrize("constant", [0.0, 0.7])
@pytest.mark.parametrize("averaged", [False, True])
def test_a_head_of_constant_values_goes_where_nobody_reads_its_weights(constant: float, averaged: bool) -> None:
    weights = stored(2)
    weights["wv"][:, 4:8] = 0  # of head 1
    bias = np.zeros(WIDTH, np.float32)
    bias[4:8] = constant
    lines = [line.replace("v = MatMul(xt, wv)", "v0 = MatMul(xt, wv) v = Add(v0, bias)") for line in LINES]
    lines += [AVERAGED] if averaged else []
    proto = model(lines, ", float[B, C, D] mean" if averaged else "", **weights, bias=bias)
    pruned = analyzer.prune(proto, feeds(proto, 12), latency=False)
    smaller = onnx.load_from_string(pruned.data)
    widths = {t.name: list(t.dims) for t in smaller.graph.initializer}
    kept = WIDTH if averaged else WIDTH - SIZE
    assert [widths[name] for name in ("wq", "wk", "wv")] == [[WIDTH, kept]] * 3
    for samples in (1, 5):
        before, after = run(proto, feeds(proto, samples)), run(smaller, feeds(proto, samples))
        for name, array in before.items():
            np.testing.assert_allclose(after[name], array, rtol=0, atol=1e-5 * np.abs(array).max())


def test_a_wrong_idea_of_what_lies_beside_heads_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_heads, "_is_beside", lambda dims, axis: True)
    lines = UNLIKE["a mask per head"]
    mask = np.random.default_rng(1).normal(size=(HEADS * 4, STEPS, STEPS)).astype(np.float32)
    proto = model(lines, other=mask)
    read = onnx.load_from_string(serialize(load_model(proto)))
    with pytest.raises(Exception, match=r"ncompatible|roadcast|hape"):
        run(read, feeds(proto, 4))
