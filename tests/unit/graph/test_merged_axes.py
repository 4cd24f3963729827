"""Views that merge axes, transpose, and take them apart again become one view and a transposition; others stay."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import pytest

from analyzer.graph.serialize import serialize
from analyzer.runtime.loading import load_model
from tests.models import Array, parse, run

MOVED = {"Reshape", "Transpose"}


def random_views(seed: int) -> tuple[onnx.ModelProto, Array, bool]:
    """A model, an input, and whether the second view takes apart what the first one merged."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(3, 5))
    shape = [int(n) for n in rng.permutation([2, 3, 4, 5])[:rank]]
    place = int(rng.integers(rank - 1))  # this axis and the next are merged
    merged = [*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]]
    perm = [int(axis) for axis in rng.permutation(rank - 1)]
    turned = [[n] if axis != place else shape[place : place + 2] for axis, n in enumerate(merged)]
    apart = [n for axis in perm for n in turned[axis]]
    matching = bool(rng.random() < 0.7)
    if not matching:
        apart = [int(n) for n in rng.permutation(apart)]
    stored = {f"n{n}": np.array([n]) for n in {*shape, *range(rank)}}
    lines = ["s = Shape(x)", *(f"d{axis} = Gather(s, n{axis})" for axis in range(rank))]
    lines += ["r = Shape(x)", *(f"e{axis} = Gather(r, n{axis})" for axis in range(rank))]  # the same once more
    again = "de"[rng.integers(2)]

    def joined(name: str, lengths: list[int], free: int | None) -> None:
        measured = again if name == "u" else "d"
        parts = [f"{measured}{shape.index(n)}" if n in shape and computed[n] else f"n{n}" for n in lengths]
        if free is not None:
            parts[free] = "minus"
        lines.append(f"{name} = Concat<axis=0>({', '.join(parts)})")

    computed = {n: bool(rng.integers(2)) for n in shape}
    joined("t", merged, place)
    joined("u", apart, int(rng.integers(len(apart))) if rng.random() < 0.3 else None)
    lines += ["v = Reshape(x, t)", f"w = Transpose<perm={perm}>(v)", "y = Reshape(w, u)"]
    stored["minus"] = np.array([-1])
    dims = ",".join(f"D{axis}" if rng.integers(2) else str(n) for axis, n in enumerate(shape))
    text = f"g (float[{dims}] x) => (float[{','.join('ABCD'[: len(apart)])}] y) {{ {' '.join(lines)} }}"
    x = np.arange(prod(shape), dtype=np.float32).reshape(shape)
    return parse(text, stored, 18), x, matching


@pytest.mark.parametrize("seed", range(60))
def test_what_is_kept_apart_lies_where_it_lay(seed: int) -> None:
    proto, x, _ = random_views(seed)
    loaded = load_model(proto)
    expected, kept = run(proto, {"x": x})["y"], run(onnx.load_from_string(serialize(loaded)), {"x": x})["y"]
    np.testing.assert_array_equal(kept, expected)


def test_most_of_them_are_kept_apart() -> None:
    left = []
    for seed in range(60):
        proto, _, matching = random_views(seed)
        moves = [node.op_type for node in load_model(proto).graph.nodes if node.op_type in MOVED]
        if matching:
            left.append(len(moves))
    assert left.count(2) > len(left) / 2


SWAPPED = """h = MatMul(x, k) a = Reshape(h, heads) b = Transpose<perm=[0,2,1,3]>(a) s = Shape(b)
w = Slice(s, last, end) t = Slice(s, before, last) o = Slice(s, zero, before) p = Concat<axis=0>(last, t, w)
c = Reshape(b, p) d = Transpose<perm=[0,2,1]>(c) q = Concat<axis=0>(o, w, t) y = Reshape(d, q)"""


def test_keys_that_are_transposed_with_samples_and_heads_merged() -> None:
    lists = {"heads": [0, 0, 2, 4], "last": [-1], "end": [1 << 62], "before": [-2], "zero": [0]}
    stored = {name: np.array(numbers) for name, numbers in lists.items()}
    stored["k"] = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    proto = parse(f"g (float[N, T, 3] x) => (float[N, 2, 4, T] y) {{ {SWAPPED} }}", stored, 18)
    loaded = load_model(proto)
    perms = [node.attr("perm") for node in loaded.graph.nodes if node.op_type == "Transpose"]
    assert perms == [[0, 2, 1, 3], [0, 1, 3, 2]]
    assert [node.op_type for node in loaded.unfixed().graph.nodes] == [node.op_type for node in proto.graph.node]
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    expected, kept = run(proto, {"x": x})["y"], run(onnx.load_from_string(serialize(loaded)), {"x": x})["y"]
    np.testing.assert_array_equal(kept, expected)


def test_one_behind_another() -> None:
    body = """s = Shape(x) n = Gather(s, zero) m = Concat<axis=0>(last, two, three) a = Reshape(x, m)
    b = Transpose<perm=[1,0,2]>(a) p = Concat<axis=0>(two, n, five, three) c = Reshape(b, p)
    d = Transpose<perm=[1,2,0,3]>(c) q = Concat<axis=0>(n, five, two, three) y = Reshape(d, q)"""
    stored = {name: np.array([n]) for name, n in {"zero": 0, "last": -1, "two": 2, "three": 3, "five": 5}.items()}
    proto = parse(f"g (float[N, 5, 2, 3] x) => (float[A, B, C, D] y) {{ {body} }}", stored, 18)
    x = np.random.default_rng(1).normal(size=(4, 5, 2, 3)).astype(np.float32)
    expected, kept = run(proto, {"x": x})["y"], run(onnx.load_from_string(serialize(load_model(proto))), {"x": x})["y"]
    np.testing.assert_array_equal(kept, expected)
