"""What removing a unit changes is bounded: by no less than what onnxruntime shows, and for tiny nets by no more."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.bounds import interval_bounds
from analyzer.bounds.differences import DifferenceGraph
from analyzer.facts.domain import Box
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse

RANDOM = np.random.default_rng(5)
W, V = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (4, 2)))
DENSE = "g (float[1,3] x) => (float[1,2] y) { h = MatMul(x, w) r = Relu(h) y = MatMul(r, v) }"


def moved(text: str, stored: dict[str, Array], value: str, unit: int, far: float, opset: int = 18) -> dict[str, float]:
    """By output; nothing where not all of them are bounded."""
    return by_output(text, stored, value, unit, far, opset) or {}


def by_output(
    text: str, stored: dict[str, Array], value: str, unit: int, far: float, opset: int = 18
) -> dict[str, float] | None:
    loaded = load_model(parse(text, stored, opset))
    shapes = measure_shapes(loaded, None, threads=1)
    boxes = {n: Box(np.zeros(shapes.shapes[n], kind.dtype), np.ones(shapes.shapes[n], kind.dtype))
             for n, kind in loaded.graph.inputs.items()}  # fmt: skip
    bounds = interval_bounds(loaded, shapes, boxes, threads=1)
    by = np.zeros(shapes.shapes[value])
    by[:, unit] = far
    with DifferenceGraph(loaded, shapes, value, bounds, threads=1) as graph:
        return graph.moved(by) if graph.whole else None


def test_through_a_product_it_is_the_weights() -> None:
    assert moved(DENSE, {"w": W, "v": V}, "r", 2, 0.5) == pytest.approx({"y": 0.5 * np.abs(V[2]).max()}, rel=1e-4)


def test_a_function_that_nowhere_rises_faster_than_its_input_passes_it_on() -> None:
    text = "g (float[1,3] x) => (float[1,4] y) { h = MatMul(x, w) r = Relu(h) y = Sigmoid(r) }"
    assert moved(text, {"w": W}, "r", 1, 0.5)["y"] == pytest.approx(0.125, rel=1e-2)


def test_a_maximum_moves_within_its_channel_alone() -> None:
    kernel = np.array([[[[2.0]], [[0.0]]], [[[0.0]], [[3.0]]]], np.float32)
    text = """g (float[1,2,4,4] x) => (float[1,2,2,2] y) {
        r = Relu(x) p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r) y = Conv(p, k) }"""
    assert moved(text, {"k": kernel}, "r", 1, 0.25) == pytest.approx({"y": 0.75}, rel=1e-4)


def test_padding_with_a_number_adds_nothing() -> None:
    text = """g (float[1,2,3] x) => (float[1,2,5] y) { r = Relu(x) y = Pad(r, p, c) }"""
    stored: dict[str, Array] = {"p": np.array([0, 0, 1, 0, 0, 1], np.int64), "c": np.array(-7.0, np.float32)}
    assert moved(text, stored, "r", 0, 0.5) == pytest.approx({"y": 0.5}, rel=1e-6)


def test_what_says_nothing_moves_as_far_as_its_bounds_are_wide() -> None:
    text = "g (float[1,3] x) => (float[1,1] y) { r = Relu(x) y = ReduceL2<keepdims = 1>(r) }"
    assert moved(text, {}, "r", 0, 1e-3) == pytest.approx({"y": 3**0.5}, rel=1e-3)


def test_what_has_no_bounds_has_no_number() -> None:
    assert moved("g (float[1,3] x) => (float[1,3] y) { r = Relu(x) y = Shrink(r) }", {}, "r", 0, 1e-3) == {}


@pytest.mark.parametrize("seed", range(8))
def test_no_output_moves_further_in_onnxruntime(seed: int) -> None:
    """A unit is set to other numbers in the model itself: it reads an input in place of the activation."""
    from analyzer.runtime.session import Session

    random = np.random.default_rng(seed)
    k, v = random.standard_normal((3, 2, 3, 3)), random.standard_normal((12, 5))
    stored: dict[str, Array] = {"k": k.astype(np.float32), "v": v.astype(np.float32), "s": np.array([-1, 12], np.int64)}
    behind = random.choice(["Tanh", "Softplus", "Elu", "HardSwish", "LeakyRelu<alpha = -2.0>", "Gelu", "Celu"])
    text = f"""g (float[1,2,4,4] r) => (float[1,5] y) {{
        c = Conv<pads = [1, 1, 1, 1]>(r, k) a = {behind}(c)
        p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(a) f = Reshape(p, s)
        m = MatMul(f, v) y = Softmax(m) }}"""
    far = 10.0 ** random.integers(-3, 1)
    most = moved(text, stored, "r", 1, far, opset=20)["y"]
    with Session(load_model(parse(text, stored, 20)), threads=1) as session:
        for _ in range(100):
            x = random.standard_normal((1, 2, 4, 4)).astype(np.float32)
            other = x.copy()
            other[:, 1] += (far * random.choice([-1.0, 1.0], (1, 4, 4))).astype(np.float32)
            change = np.abs(session.run({"r": x})["y"] - session.run({"r": other})["y"]).max()
            assert change <= most + 1e-6


TABLE: dict[str, Array] = {"t": np.arange(6, dtype=np.float32).reshape(3, 2), "k": np.array(1e-4, np.float32)}


@pytest.mark.parametrize(
    "body",
    [
        "y = Hardmax (r)",
        "i = ArgMax<axis = 1> (r) y = Gather (t, i)",
        "c = Greater (r, k) y = Where (c, x, h)",
        "y = If (b) <then_branch = p () => (float[1,3] u) { u = Add (r, h) },"
        " else_branch = q () => (float[1,3] v) { v = Neg (h) }>",
        "s = ReduceSum<keepdims = 0> (r) g = Greater (s, k) y = If (g) <then_branch = p () => (float[1,3] u)"
        " { u = Identity (h) }, else_branch = q () => (float[1,3] v) { v = Identity (x) }>",
        "y = Loop (n, , h) <body = q (int64 i, bool c, float[1,3] s) => (bool d, float[1,3] z)"
        " { d = Identity (c) z = Add (s, r) }>",
        "n0 = NonZero (r) sh = Shape (n0) f = Cast<to = 1> (sh) y = Mul (h, f)",
    ],
    ids=["jump", "place", "condition", "branch", "choice", "loop", "count"],
)
def test_what_a_jump_a_place_a_condition_or_a_body_makes_of_it_is_no_less(body: str) -> None:
    """A change of 0.001 becomes one of everything; without bounds around that there is no number."""
    text = f"g (float[1,3] x, bool b) => (float y) {{ h = Sigmoid (x) r = Relu (x) {body} }}"
    stored = TABLE | {"n": np.array(3, np.int64)}
    found = by_output(text, stored, "r", 0, 1e-3)
    assert found is None or found["y"] > 0.2


def test_how_long_a_value_is_does_not_change() -> None:
    """What reads no more than lengths does not move, and what is spelled by them moves as it did."""
    text = "g (float[1,3] x) => (float[3,1] y) { r = Relu (x) n = Shape (r) f = Gather (n, order) y = Reshape (r, f) }"
    assert moved(text, {"order": np.array([1, 0], np.int64)}, "r", 0, 0.5) == pytest.approx({"y": 0.5})
