"""Whether samples that share a feed influence each other: proven, or left open."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, RuntimeException

from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.ops.context import Context
from analyzer.ops.samples import mixes_samples
from analyzer.runtime.loading import load_model
from tests.models import Array, all_values, parse, session

_W = np.arange(12, dtype=np.float32).reshape(4, 3)


def question(body: str, inputs: str = "float[N, 4] x", stored: Mapping[str, Array] | None = None) -> str | None:
    """What is answered for a model, with the sample axes that runs of one and of two samples show."""
    weights = stored or {}
    proto = parse(f"m ({inputs}) => (y) {{ {body} }}", weights)
    shapes = []
    for count in (1, 2):
        feeds = {}
        for given in proto.graph.input:
            dims = [d.dim_value or count for d in given.type.tensor_type.shape.dim]
            feeds[given.name] = np.linspace(0, 1, int(np.prod(dims)), dtype=np.float32).reshape(dims)
        seen = {n: v.shape for n, v in all_values(proto, feeds).items()}
        shapes.append({n: a.shape for n, a in weights.items()} | {n: a.shape for n, a in feeds.items()} | seen)
    one, two = shapes
    grown = {n: [a for a, (i, j) in enumerate(zip(one[n], two[n], strict=True)) if i != j] for n in one}
    axes = {n: SampleAxis(a[0], one[n][a[0]]) for n, a in grown.items() if len(a) == 1}
    scrambled = dict.fromkeys(n for n, a in grown.items() if len(a) > 1)
    return mixes_samples(Context(load_model(proto).graph, ShapeTable(one, axes, batchable=True, scrambled=scrambled)))


def test_one_scale_for_all_samples_leaves_it_open_even_where_nobody_reads_it() -> None:
    assert "DynamicQuantizeLinear" in (question("q, s, z = DynamicQuantizeLinear (x) y = Cast <to = 1> (q)") or "")


@pytest.mark.parametrize(
    "body",
    [
        "h = MatMul (x, w) y = Relu (h)",
        "t = Transpose <perm = [1, 0]> (x) r = Relu (t) y = Transpose <perm = [1, 0]> (r)",
        "s = Shape (x) y = Reshape (x, s)",  # the number of samples says how long an axis is, and nothing else
        "s = Shape (x) n = Gather (s, zero) k = Gather (s, one) l = Concat <axis = 0> (n, k) c = Cast <to = 1> (k)"
        " a = Reshape (x, l) y = Mul (a, c)",
        "f = Reshape (x, rows) h = Relu (f) y = Reshape (h, back)",
        "s = Shape (x) b = Expand (row, s) y = Add (x, b)",
        "y = Softmax <axis = 1> (x)",
        "y = ReduceMean <keepdims = 0> (x, one)",
        "y = Slice (x, zero, one, one)",
        "y = Slice (x, zero, end, zero)",
        "y, mask = Dropout (x)",  # nobody reads the mask
        "a, b = Split <axis = 1, num_outputs = 2> (x) y = Concat <axis = 1> (b, a)",
    ],
)
def test_these_keep_samples_apart(body: str) -> None:
    stored = {"w": _W, "row": _W[:, 0], "zero": _ints(0), "one": _ints(1), "rows": _ints(-1, 2), "back": _ints(-1, 4)}
    stored |= {"end": _ints(1 << 40)}
    assert question(body, stored=stored) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("y = Softmax <axis = 0> (x)", "keep samples to themselves"),
        ("m = ReduceMean <keepdims = 1> (x, zero) y = Sub (x, m)", "no axis along which samples lie"),
        ("y = Slice (x, last, first, zero, back)", "keep samples to themselves"),  # the order of samples is reversed
        ("y = CumSum (x, nought)", "keep samples to themselves"),
        ("y = Asinh (x)", "no rule"),
        ("s = Shape (x) n = Gather (s, zero) c = Cast <to = 1> (n) y = Mul (x, c)", "the number of samples"),
        ("s = Shape (x) n = Gather (s, zero) o = Expand (oneone, n) i = CumSum (o, nought)"
         " u = Unsqueeze (i, one) y = Add (x, u)", "keep samples to themselves"),
        ("t = Transpose <perm = [1, 0]> (x) y = Reshape (t, shape)", "keep samples to themselves"),
        ("t = Transpose <perm = [1, 0]> (x) g = MatMul (x, t) y = ReduceMax <keepdims = 0> (g, one)", "no known order"),
        ("p = Concat <axis = 0> (x, x) y = ReduceMean <keepdims = 0> (p, one)", "keep samples to themselves"),
        ("s = Shape (x) n = Gather (s, zero) b = Cast <to = 9> (n) i = Cast <to = 7> (b) d = Add (i, one)"
         " l = Concat <axis = 0> (d, last) y = Reshape (x, l)", "in proportion"),  # two rows for any number of samples
        ("s = Shape (x) n = Gather (s, zero) f = Cast <to = 1> (n) h = Sub (f, half) i = Cast <to = 7> (h)"
         " l = Concat <axis = 0> (i, last) y = Reshape (x, l)", "in proportion"),
        ("s = Shape (x) y = Gather (s, zero)", "is computed from the number of samples"),
        ("y = Slice (x, zero, four, zero)", "have a limit"),
        ("y = Slice (x, zero, four, minus)", "have a limit"),
        ("y = Slice (x, third, end, zero)", "have a limit"),
        ("r = Reshape (x, flat) s = Slice (r, zero, eight, zero) y = Reshape (s, shape)", "have a limit"),
    ],
)  # fmt: skip
def test_these_may_mix_samples(body: str, why: str) -> None:
    stored = {
        "zero": _ints(0), "one": _ints(1), "last": _ints(-1), "first": _ints(-1 << 40), "back": _ints(-1),
        "nought": np.asarray(0, np.int64), "shape": _ints(-1, 4), "oneone": np.ones(1, np.float32),
        "half": np.full(1, -0.5, np.float32), "four": _ints(4), "eight": _ints(8), "third": _ints(-3),
        "end": _ints(1 << 40), "minus": _ints(-2), "flat": _ints(-1, 2),
    }  # fmt: skip
    used = {n: a for n, a in stored.items() if n in body.replace("(", " ").replace(")", " ").replace(",", " ").split()}
    assert why in (question(body, stored=used) or "proven")


def test_sizes_that_are_computed_from_a_shape_keep_samples_apart() -> None:
    body = """s = Shape (x) front = Slice (s, zero, two) l = Concat <axis = 0> (front, sizes)
              y = Resize <mode = "nearest"> (x, none, none, l)"""
    stored = {"zero": _ints(0), "two": _ints(2), "sizes": _ints(4, 4), "none": np.zeros(0, np.float32)}
    assert question(body, "float[N, 3, 2, 2] x", stored) is None


def test_an_input_without_samples_leaves_it_open() -> None:
    body = "y = Add (x, c)"
    assert "the input c has no axis" in (question(body, "float[N, 4] x, float[4] c") or "proven")
    assert "the input x has no axis" in (question("y = Relu (x)", "float[2, 4] x") or "proven")


def test_of_a_fixed_number_of_groups_each_holds_more_of_more_samples() -> None:
    body = "r = Reshape (x, to) q = GroupNormalization <num_groups = 6> (r, ones, ones) y = Reshape (q, back)"
    stored = {"to": _ints(1, -1, 4), "back": _ints(-1, 6, 4), "ones": np.ones(6, np.float32)}
    assert "keep samples to themselves" in (question(body, "float[N, 6, 4] x", stored) or "proven")


def _folded(random: Random) -> tuple[str, dict[str, Array]]:
    """Samples of [6, 4] folded into some axis, an operator over the result, and the way back."""
    groups, axis, width = random.choice([1, 2, 3, 6]), random.choice([0, 1, 2]), random.choice([1, 2, 3, 4, 6, 12])
    target = random.choice([(1, -1, 4), (-1, 6, 4), (-1, width, 24 // width), (6, -1, 4), (-1, 12, 2), (2, -1, 6)])
    body = random.choice([
        f"GroupNormalization <num_groups = {groups}> (r, scale, scale)", "InstanceNormalization (r, wide, wide)",
        f"LayerNormalization <axis = {axis}> (r, one)", f"Softmax <axis = {axis}> (r)", "LRN <size = 3> (r)",
        f"Conv <group = {groups}, pads = [1, 1]> (r, kernel)", f"LpNormalization <axis = {axis}> (r)",
        "MaxPool <kernel_shape = [3], pads = [1, 1]> (r)", "MatMul (r, square)", "Add (r, wider)", "CumSum (r, axis)",
    ])  # fmt: skip
    last = target[2]
    generator = np.random.default_rng(random.getrandbits(32))
    shapes = {"scale": (groups,), "wide": (target[1],) if target[1] > 0 else (6,), "one": (1,), "wider": (6, 1)}
    shapes |= {"kernel": (6, 6 // groups, 3), "square": (last, last)}
    stored = {n: generator.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    stored |= {"axis": _ints(axis).reshape(()), "to": _ints(*target), "back": _ints(-1, 6, 4)}
    body = f"r = Reshape (x, to) q = {body} y = Reshape (q, back)"
    return body, {n: a for n, a in stored.items() if f" {n})" in body or f" {n}," in body}


def test_samples_that_are_proven_apart_give_what_they_give_alone() -> None:
    """However many there are: shapes are looked at for two numbers of them only."""
    proven = 0
    for seed in range(300):
        body, stored = _folded(Random(seed))
        try:
            if question(body, "float[N, 6, 4] x", stored) is not None:
                continue
        except (Fail, InvalidArgument, InvalidGraph, RuntimeException):
            continue
        proven += 1
        model = session(parse(f"m (float[N, 6, 4] x) => (y) {{ {body} }}", stored))
        x = np.random.default_rng(seed).normal(size=(4, 6, 4)).astype(np.float32)
        alone = np.concatenate([model.run(["y"], {"x": x[n : n + 1]})[0] for n in range(4)])
        for count in (2, 3, 4):
            (together,) = model.run(["y"], {"x": x[:count]})
            assert np.allclose(together, alone[:count], atol=1e-5), body
    assert proven > 30


def _ints(*numbers: int) -> Array:
    return np.asarray(numbers, np.int64)
