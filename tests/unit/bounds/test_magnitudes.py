"""No value exceeds the magnitude it is said to have at most, and what may overflow is said to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analyzer.bounds.magnitudes import LARGEST_INPUT, magnitudes, within
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.models import Array

RANDOM = np.random.default_rng(5)
SHAPES = {
    "W": (6, 4, 3, 3),
    "D": (4, 1, 3, 3),
    "E": (4, 4, 3, 3),
    "B": (6,),
    "M": (5, 7),
    "N": (7, 5),
    "C": (7,),
    "K": (4, 1, 1),
    "s": (4,),
    "b": (4,),
    "m": (4,),
    "v": (4,),
}
BODIES = [
    "y = Conv(x, W)",
    "y = Conv<pads=[1, 1, 1, 1], strides=[2, 1]>(x, W, B)",
    "y = Conv<group=4>(x, D)",
    "y = MatMul(x, M)",
    "y = MatMul(x, N)",
    "f = Flatten<axis=3>(x)  y = Gemm<alpha=-3.0, beta=2.0>(f, M, C)",
    "f = Flatten<axis=3>(x)  y = Gemm<transB=1>(f, N, C)",
    "y = BatchNormalization(x, s, b, m, v)",
    "y = Relu(x)",
    "y = LeakyRelu<alpha=2.5>(x)",
    "y = Tanh(x)",
    "y = Sigmoid(x)",
    "y = MaxPool<kernel_shape=[2, 2], pads=[1, 1, 1, 1]>(x)",
    "y = AveragePool<kernel_shape=[3, 3], pads=[2, 2, 2, 2]>(x)",
    "y = GlobalAveragePool(x)",
    "y = GlobalMaxPool(x)",
    "y = Add(x, K)",
    "a = Relu(x)  y = Sub(a, x)",
    "y = Sum(x, K, x)",
    "y = Mul(x, K)",
    "c = Conv<pads=[1, 1, 1, 1]>(x, W)  y = Concat<axis=1>(x, c)",
    "p, y = Split<axis=1>(x)",
    "i = Constant<value_ints=[1, 3]>()  y = Gather<axis=1>(x, i)",
    "c = Conv(x, W)  r = Relu(c)  p = MaxPool<kernel_shape=[2, 2]>(r)  t = Transpose<perm=[0, 2, 3, 1]>(p)"
    "  y = Add(t, B)",
]


def graph_text(body: str) -> str:
    width = 7 if "(x, N)" in body or "(t, N)" in body else 5
    return f"g (float[N, 4, 6, {width}] x) => (float y) {{ {body} }}"


def model_of(body: str, **replaced: Array) -> Any:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph_text(body)}')
    random = np.random.default_rng(5)
    weights = {n: random.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    weights["v"] = np.abs(weights["v"])
    weights["m"][0] = -1
    used = {name for node in model.graph.node for name in node.input}
    stored = {n: a for n, a in (weights | replaced).items() if n in used}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in stored.items())
    return load_model(model)


def extreme_feeds(shape: tuple[int, ...]) -> list[Array]:
    signs = RANDOM.choice([-1.0, 1.0], size=(20, *shape))
    return [(LARGEST_INPUT * s).astype(np.float32) for s in (np.ones((1, *shape)), -np.ones((1, *shape)), signs)]


@pytest.mark.parametrize("body", BODIES)
def test_no_feed_within_bounds_exceeds_what_is_said(body: str) -> None:
    loaded = model_of(body)
    largest = magnitudes(loaded.graph, ["y"])["y"]
    shape = tuple(int(str(d)) for d in (loaded.graph.inputs["x"].shape or ())[1:])
    with Session(loaded) as session:
        shown = [np.abs(session.run({"x": x})["y"]).max() for x in extreme_feeds(shape)]
    assert max(shown) <= largest * (1 + 1e-6)
    assert max(shown) >= largest / 30  # it is no empty promise either


STORED = [(body, name) for body in BODIES for name in SHAPES if f", {name})" in body or f", {name}," in body]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, -1])
@pytest.mark.parametrize(("body", "name"), STORED)
def test_a_weight_that_is_not_finite_bounds_nothing(
    body: str, name: str, position: int, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyzer.ops.largest.CHUNK", 7)
    weight = np.ones(SHAPES[name], np.float32)
    weight.reshape(-1)[position] = bad
    endless_variance = (name, bad) == ("v", np.inf)  # by which everything becomes zero
    assert ("y" in magnitudes(model_of(body, **{name: weight}).graph, ["y"])) == endless_variance


def full(name: str, number: float) -> Array:
    return np.full(SHAPES[name], number, np.float32)


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("y = Conv(x, W)", {"W": full("W", 1e23)}),
        ("p = Mul(x, x)  q = Mul(p, p)  r = Mul(q, q)  y = Relu(r)", {}),
        ("k = Concat<axis=1>(x, K)  y = Relu(k)", {"K": full("K", 1e31)}),
        ("k = Concat<axis=1>(x, K)  y = Relu(k)", {"K": full("K", np.nan)}),
        # each result is small, but what is computed on the way overflows
        ("f = Flatten<axis=3>(x)  y = Gemm<alpha=1e-30>(f, M, C)", {"M": full("M", 3e38)}),
        (
            "t = Mul(x, K)  c = Conv(t, E)  y = Mul(c, V)",
            {"K": full("K", 1e-25), "E": full("E", 1e25), "V": full("K", 1e20)},
        ),
        (
            "t = Mul(x, K)  c = Conv(t, E)  y = BatchNormalization<epsilon=0.0>(c, s, b, m, v)",
            {"K": full("K", 1e-25), "E": full("E", 1e-20), "s": full("s", 1e30), "v": full("v", 1e-30)},
        ),
        ("y = BatchNormalization(x, s, b, m, v)", {"v": full("v", -1e-5)}),
        ("y = BatchNormalization(x, s, b, m, v)", {"v": full("v", np.inf), "s": full("s", np.inf)}),
        # onnxruntime makes one factor of both scales around a MatMul
        (
            "t = Mul(x, K)  c = MatMul(t, N)  y = Mul(c, V)",
            {"K": full("K", 1e15), "N": full("N", 1e-24), "V": full("K", 1e25)},
        ),
        ("y = LeakyRelu<alpha=nan>(x)", {}),
    ],
)
def test_what_may_overflow_is_left_out(body: str, weights: dict[str, Array]) -> None:
    loaded = model_of(body.replace("alpha=nan", "alpha=2.0"), **weights)
    if "alpha=nan" in body:
        (node,) = loaded.graph.nodes
        loaded.graph.nodes = (replace(node, attributes={"alpha": float("nan")}),)
    assert "y" not in magnitudes(loaded.graph, ["y"])


@pytest.mark.parametrize(
    "body",
    [
        "y = MaxPool<kernel_shape=[2, 2], dilations=[3, 1]>(x)",
        "y = AveragePool<kernel_shape=[2, 2], ceil_mode=1>(x)",
        "y = Exp(x)",
        "e = Exp(x)  y = Add(x, e)",
        "y = BatchNormalization<epsilon=0.0>(x, s, b, m, m)",
        "n = ReduceMax<axes=[0, 2, 3], keepdims=0>(x)  y = Conv(x, E, n)",
        "t = Transpose<perm=[0, 1, 3, 2]>(x)  y = MatMul(x, t)",
        "r = Constant<value_float=0.5>()  t = Constant<value=bool {1}>()  y = Dropout(x, r, t)",
    ],
)
def test_what_is_not_known_ends_the_chain(body: str) -> None:
    assert "y" not in magnitudes(model_of(body).graph, ["y"])


def test_weights_are_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [magnitudes(model_of(body, M=np.ones((5, 7), np.float32)).graph, ["y"]) for body in BODIES[3:4]]
    monkeypatch.setattr("analyzer.ops.largest.CHUNK", 9)
    pieces = [magnitudes(model_of(body, M=np.ones((5, 7), np.float32)).graph, ["y"]) for body in BODIES[3:4]]
    assert whole == pieces == [{"x": LARGEST_INPUT, "y": 5 * LARGEST_INPUT}]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6, -1.1e6])
def test_feeds_beyond_the_bounds_are_noticed(bad: float) -> None:
    good = np.full((2, 3), LARGEST_INPUT, np.float32)
    wrong = good.copy()
    wrong[1, 2] = bad
    assert within({"x": good, "i": np.array([10**9]), "none": np.zeros(0, np.float32)})
    assert not within({"x": good, "z": wrong})
