"""Masks speak of the file: what a constant replaced in a later round of the walk is not said to stay."""

from __future__ import annotations

import numpy as np
import onnx

import analyzer
from tests.models import Array, parse


def kernel(shape: tuple[int, ...], out: tuple[int, ...] = (), into: tuple[int, ...] = ()) -> Array:
    """Random numbers, with zeros for these output and input channels."""
    array = np.random.default_rng(shape[0]).normal(0, 1, shape).astype(np.float32)
    array[list(out)] = 0
    array[:, list(into)] = 0
    return array


def test_what_a_constant_replaces_later_is_in_no_mask() -> None:
    text = """g (float[N, 3, 5, 5] x) => (float[N, 3, A, B] y) {
        v0c = Conv<group=3, pads=[1, 1, 1, 1]>(x, w0)  v0 = Relu(v0c)
        v2c = Conv<pads=[1, 1, 1, 1]>(v0, w2, b2)  v2 = Relu(v2c)
        v3 = Conv(v2, w3, b3)  v4 = Concat<axis=1>(v3, v0)  v5 = Add(v4, v2)
        v6 = Conv<pads=[1, 1, 1, 1]>(v5, w6, b6)  v8c = Conv<group=5, pads=[1, 1, 1, 1]>(v6, w8)  v8 = Relu(v8c)
        y = Conv(v8, wl) }"""
    stored = {
        "w0": kernel((3, 1, 3, 3), (0, 2)),
        "w2": np.zeros((6, 3, 3, 3), np.float32),
        "b2": np.array([-0.9, -0.9, -50, -50, -0.03, 0], np.float32),
        "w3": kernel((3, 6, 1, 1), (1, 2)),
        "b3": np.array([0, 0.7, -50], np.float32),
        "w6": kernel((5, 6, 3, 3), (1, 2, 4), (0, 4)),
        "b6": np.array([0.25, -50, -50, -50, -1.5], np.float32),
        "w8": kernel((5, 1, 3, 3), (1,)),
        "wl": kernel((3, 5, 1, 1), (0,), (1,)),
    }
    pruned = analyzer.prune(parse(text, stored), latency=False)
    left = {tensor.name for tensor in onnx.ModelProto.FromString(pruned.data).graph.initializer}
    masks = pruned.masks()
    for name in stored:
        assert (name in left) == (name not in masks or bool(masks[name].any())), name
