"""Interval bounds of small graphs: what they hold for, how tight they are, and where they end."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest

from analyzer.bounds import IntervalGraph, interval_bounds
from analyzer.bounds.arithmetic import rounded_down, rounded_up
from analyzer.facts.domain import Box
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, all_values, parse, session

UNIT = 2.0**-24


def box(low: float, high: float, *shape: int, dtype: type = np.float32) -> Box:
    return Box(np.full(shape, low, dtype), np.full(shape, high, dtype))


def bounds(
    text: str,
    inputs: Mapping[str, Box],
    stored: Mapping[str, Array] | None = None,
    *,
    opset: int = 18,
    arithmetic: str = "float32",
    tried: int = 200,
) -> Mapping[str, Box]:
    """Bounds of all values, after they were tried with inputs of the boxes."""
    model = parse(text, stored, opset)
    loaded = load_model(model)
    found = interval_bounds(loaded, measure_shapes(loaded, None), inputs, arithmetic=arithmetic, threads=1)
    random = np.random.default_rng(0)
    for _ in range(tried if inputs.keys() == loaded.graph.inputs.keys() else 0):
        feed = {n: _point(b, random) for n, b in inputs.items()}
        for name, array in all_values(model, feed).items():
            if name in found and name not in inputs:
                inside = (found[name].low <= array) & (array <= found[name].high)
                assert inside.all() or not np.isfinite(array).all(), name
    return found


def _point(b: Box, random: np.random.Generator) -> Array:
    if b.low.dtype.kind in "iub":
        return np.asarray(np.where(random.integers(0, 2, b.low.shape), b.low, b.high))
    share = random.integers(0, 2, b.low.shape) if random.random() < 0.5 else random.random(b.low.shape)
    return np.asarray(np.clip((b.low + share * (b.high - b.low)).astype(b.low.dtype), b.low, b.high))


def ends(b: Box) -> tuple[float, float]:
    return float(b.low.min()), float(b.high.max())


@pytest.mark.parametrize("arithmetic", ["float32", "tf32"])
def test_sums_are_bounded_in_any_order(arithmetic: str) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(0, 1, (3000, 4)).astype(np.float32)
    text = "g (float[1, 3000] x) => (float[1, 4] y) { y = MatMul(x, W) }"
    y = bounds(text, {"x": box(-1, 1, 1, 3000)}, {"W": weight}, arithmetic=arithmetic, tried=20)["y"]
    for unit in range(4):
        terms = np.abs(weight[:, unit])  # at the corner where the sum is largest
        for order in (np.sort(terms), np.sort(terms)[::-1], terms):
            assert np.cumsum(order, dtype=np.float32)[-1] <= y.high[0, unit]
        exact = float(terms.astype(np.float64).sum())
        assert exact <= y.high[0, unit] <= exact * (1 + (1e-3 if arithmetic == "float32" else 3e-3))
        assert y.low[0, unit] == -y.high[0, unit]


def test_arithmetics_are_ordered() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    text = "g (float[1, 50] x) => (float[1, 3] y) { y = MatMul(x, W) }"
    real, single, tensor = (
        bounds(text, {"x": box(-1, 1, 1, 50)}, {"W": weight}, arithmetic=a)["y"] for a in ("real", "float32", "tf32")
    )
    assert (real.high < single.high).all() and (single.high < tensor.high).all()


def test_a_point_is_bounded_to_a_few_last_digits() -> None:
    y = bounds("g (float[1, 3] x) => (float[1, 3] y) { y = Add(x, x) }", {"x": box(1, 1, 1, 3)})["y"]
    assert 2 - 60 * UNIT * 2 <= y.low.min() <= 2 <= y.high.max() <= 2 + 60 * UNIT * 2


def test_units_that_read_nothing_are_their_bias_to_the_last_bit() -> None:
    weight = np.array([[0, 1], [0, 1]], np.float32)
    text = "g (float[N, 2] x) => (float[N, 2] y) { h = Gemm(x, W, b) y = Relu(h) }"
    for bias in (np.float32(-0.1), np.float32(0), np.float32(0.1)):
        for inputs in ({}, {"x": box(-1, 1, 1, 2)}):  # whatever comes, and in a box
            found = bounds(text, inputs, {"W": weight, "b": np.array([bias, 1], np.float32)})
            assert found["h"].low[0, 0] == found["h"].high[0, 0] == bias
            assert found["y"].high[0, 0] == max(bias, 0)
            assert np.isinf(found["y"].high[0, 1]) == (not inputs)


@pytest.mark.parametrize("c", ["x", "k"])  # computed, and stored
def test_what_is_added_times_nothing_is_not_read(c: str) -> None:
    text = f"g (float[1, 2] x) => (float[1, 2] y) {{ e = Exp (x) y = Gemm <beta = 0.0> (e, W, {c}) }}"
    stored = {"W": np.eye(2, dtype=np.float32), "k": np.full(2, 1e9, np.float32)}
    assert ends(bounds(text, {"x": box(0, 1, 1, 2)}, stored)["y"]) == pytest.approx((1, np.e), rel=1e-4)


@pytest.mark.parametrize("low", [0.1, 1.0])  # rounded, and not
def test_an_input_may_be_a_single_number(low: float) -> None:
    ends_of = {"x": Box(np.array(low), np.array(2.5))}
    y = bounds("g (float x) => (float y) { y = Relu (x) }", ends_of, tried=0)["y"]
    assert y.low.shape == () and y.low <= low < y.low * 1.00001 and y.high == 2.5


@pytest.mark.parametrize(
    ("formula", "low", "high"),
    [
        ("y = Relu(x)", 0, np.inf),
        ("y = Sigmoid(x)", 0, 1),
        ("y = Tanh(x)", -1, 1),
        ("y = HardSigmoid(x)", 0, 1),
        ("y = Softmax(x)", 0, 1),
        ("y = Clip(x, zero, six)", 0, 6),
        ("y = Max(x, six)", 6, np.inf),
        ("y = Min(x, six)", -np.inf, 6),
        ("y = SimplifiedLayerNormalization(x, s)", -4, 4),
        ("e = Exp(x) c = Clip(e, zero, six) y = Add(c, six)", 6, 12),
    ],
)
def test_some_operators_bound_whatever_comes(formula: str, low: float, high: float) -> None:
    stored: dict[str, Array] = {"zero": np.zeros((), np.float32), "six": np.full((), 6, np.float32)}
    stored |= {"s": np.ones(16, np.float32), "b": np.zeros(16, np.float32)}
    used = {name: array for name, array in stored.items() if name in re.findall(r"\w+", formula)}
    found = bounds(f"g (float[1, 16] x) => (float[1, 16] y) {{ {formula} }}", {}, used)["y"]
    assert ends(found) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, 1.5, 4.0, -1.0])
@pytest.mark.parametrize(("low", "high"), [(-2, -1), (-1, 2), (0, 3), (1, 2)])
def test_powers(exponent: float, low: float, high: float) -> None:
    text = "g (float[1, 4] x) => (float[1, 4] y) { y = Pow(x, e) }"
    found = bounds(text, {"x": box(low, high, 1, 4)}, {"e": np.full((), exponent, np.float32)})
    assert ("y" in found) == (exponent > 0)


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        "kernel_shape=[2, 2], pads=[1, 1, 0, 1]",
        'kernel_shape=[3, 3], auto_pad="SAME_UPPER"',
        "kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2]",
    ],
)
def test_padding_of_a_maximum_is_no_zero(pool: str, attributes: str) -> None:
    found = bounds(
        f"g (float[1, 2, 5, 5] x) => (float y) {{ y = {pool}<{attributes}>(x) }}", {"x": box(-2, -1, 1, 2, 5, 5)}
    )["y"]
    assert found.high.max() <= -0.999 and found.low.min() >= -2.001
    counted = f"g (float[1, 2, 5, 5] x) => (float y) {{ y = AveragePool<{attributes}, count_include_pad=1>(x) }}"
    assert bounds(counted, {"x": box(-2, -1, 1, 2, 5, 5)})["y"].high.max() <= 0


def test_a_value_that_is_read_twice_is_bounded() -> None:
    body = "a = Relu(x) m = Neg(x) c = Relu(m) s = Sub(a, c) q = Mul(x, x) y = Add(s, q)"
    found = bounds(f"g (float[1, 3] x) => (float y) {{ {body} }}", {"x": box(-1, 2, 1, 3)})
    assert ends(found["a"]) == (0, 2) and ends(found["c"]) == (0, 1)
    assert found["q"].low.min() >= 0 and found["q"].high.max() == pytest.approx(4)


@pytest.mark.parametrize(
    "body",
    [
        "r = Relu(x) k = Concat<axis=1>(r, c) y = MatMul(k, W)",
        "r = Relu(x) k = Pad(r, p, f) y = MatMul(k, W)",
        "r = Relu(x) k = Concat<axis=1>(r, c) t = Transpose<perm=[0, 1]>(k) m = Max(t, k) y = MatMul(m, W)",
    ],
)
def test_what_is_put_beside_numbers_above_zero_may_lie_below(body: str) -> None:
    stored: dict[str, Array] = {"c": np.full((1, 2), -5, np.float32), "f": np.full((), -5, np.float32)}
    stored |= {"p": np.array([0, 2, 0, 0]), "W": np.array([[1, -1], [2, 1], [1, 3], [2, 1]], np.float32)}
    used = {name: array for name, array in stored.items() if name in re.findall(r"\w+", body)}
    found = bounds(f"g (float[1, 2] x) => (float y) {{ {body} }}", {"x": box(-1, 1e-3, 1, 2)}, used)
    assert found["y"].low.min() < -4


@pytest.mark.parametrize("number", [1e-42, 3e37])
def test_factors_that_single_precision_hardly_holds_bound_nothing(number: float) -> None:
    text = "g (float[1, 2] x) => (float y) { y = Div(x, d) }"
    assert "y" not in bounds(text, {"x": box(0, 1e-5, 1, 2)}, {"d": np.array([number, 1], np.float32)})


def test_slopes_below_zero_turn() -> None:
    text = "g (float[1, 2] x) => (float y) { a = LeakyRelu<alpha=-0.5>(x) y = PRelu(a, s) }"
    found = bounds(text, {"x": box(-2, 1, 1, 2)}, {"s": np.array([0.5, -3], np.float32)})
    assert ends(found["a"]) == pytest.approx((0, 1), abs=1e-6)


def test_whole_numbers_are_widened_and_looked_up() -> None:
    table = np.array([[1, -5], [2, 7], [-3, 0]], np.float32)
    text = "g (uint8[1, 2] p, int64[1, 4] i) => (float y, float e) { y = Cast<to=1>(p) e = Gather(T, i) }"
    found = bounds(text, {"p": box(0, 255, 1, 2, dtype=np.uint8), "i": box(0, 2, 1, 4, dtype=np.int64)}, {"T": table})
    assert ends(found["y"]) == (0, 255)
    assert found["e"].low[0, 0].tolist() == [-3, -5] and found["e"].high[0, 0].tolist() == [2, 7]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_bound_nothing(number: float) -> None:
    text = "g (float[1, 2] x) => (float y, float r) { y = MatMul(x, W) r = Relu(y) }"
    found = bounds(text, {"x": box(0, 1, 1, 2)}, {"W": np.array([[1, number], [1, 1]], np.float32)})
    assert "y" not in found and ends(found["r"]) == (0, np.inf)


def test_what_overflows_is_open_and_what_follows_is_bounded_again() -> None:
    text = "g (float[1, 2] x) => (float t) { e = Exp(x) m = Mul(e, e) s = Sub(m, e) r = Relu(s) t = Tanh(s) }"
    found = bounds(text, {"x": box(0, 200, 1, 2)})
    assert found["e"].low.min() >= 0.99 and np.isinf(found["e"].high).all()
    assert "s" not in found and ends(found["r"]) == (0, np.inf)
    assert found["t"].high.max() <= 1.00001


@pytest.mark.parametrize("opset", [13, 18])
def test_averages_lie_among_what_is_averaged(opset: int) -> None:
    text = "g (float[1, 5, 5] s, float[1, 5, 3] v) => (float y) { p = Softmax<axis=-1>(s) y = MatMul(p, v) }"
    low, high = ends(bounds(text, {"s": box(-3, 3, 1, 5, 5), "v": box(2, 7, 1, 5, 3)}, opset=opset)["y"])
    assert 1.99 < low < 2 and 7 < high < 7.01
    mixed = {
        "s": box(-3, 3, 1, 5, 5),
        "v": Box(np.array([[[-1, 0, 4]] * 5], np.float32), np.array([[[-1, 1, 5]] * 5], np.float32)),
    }
    found = bounds(text, mixed, opset=opset)["y"]
    assert found.high[0, 0] == pytest.approx([-1, 1, 5], abs=1e-3) and found.low[0, 4] == pytest.approx(
        [-1, 0, 4], abs=1e-3
    )


def test_a_divisor_through_zero_bounds_nothing() -> None:
    text = "g (float[1, 2] x, float[1, 2] d) => (float y) { y = Div(x, d) }"
    for low, high, known in ((-1, 1, False), (1, 2, True), (-2, -1, True), (0, 1, False)):
        found = bounds(text, {"x": box(-1, 1, 1, 2), "d": box(low, high, 1, 2)})
        assert ("y" in found) == known


def test_operators_that_say_nothing_end_it() -> None:
    found = bounds("g (float[1, 4] x) => (float y) { s = Shrink(x) y = Relu(s) }", {"x": box(-1, 1, 1, 4)})
    assert "s" not in found and ends(found["y"]) == (0, np.inf)


def test_old_operator_sets_are_bounded() -> None:
    found = bounds("g (float[1, 4] x) => (float y) { e = Exp(x) y = Relu(e) }", {"x": box(-1, 1, 1, 4)}, opset=7)
    assert found["y"].high.max() == pytest.approx(np.e, rel=1e-5)


def test_only_what_is_asked_for_is_computed() -> None:
    model = load_model(parse("g (float[1, 4] x) => (float y) { a = Exp(x) y = Relu(a) }"))
    shapes = measure_shapes(model, None)
    assert [*interval_bounds(model, shapes, {"x": box(0, 1, 1, 4)}, values=["a"])] == ["a"]


def test_a_graph_of_bounds_is_run_for_boxes_within() -> None:
    model = load_model(parse("g (float[1, 4] x) => (float y) { y = Exp(x) }"))
    with IntervalGraph(model, measure_shapes(model, None), {"x": box(-1, 1, 1, 4)}) as graph:
        assert graph.bounds({"x": box(0, 0.5, 1, 4)})["y"].high.max() < 2
        with pytest.raises(ValueError, match="widest"):
            graph.bounds({"x": box(0, 1.5, 1, 4)})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"z": box(0, 1, 1, 4)}, "no input"),
        ({"x": box(0, 1, 4)}, "shape"),
        ({"x": box(1, 0, 1, 4)}, "cross"),
        ({"x": box(np.nan, 1, 1, 4)}, "no numbers"),
    ],
)
def test_boxes_that_are_none_are_refused(inputs: Mapping[str, Box], says: str) -> None:
    model = load_model(parse("g (float[1, 4] x) => (float y) { y = Exp(x) }"))
    with pytest.raises(ValueError, match=says):
        interval_bounds(model, measure_shapes(model, None), inputs)
    with pytest.raises(ValueError, match="float32"):
        interval_bounds(model, measure_shapes(model, None), {}, arithmetic="bfloat16")


def test_deviations_are_bounded_by_the_formula_alone() -> None:
    """Behind an Add, onnxruntime takes the variance as a difference of squares, of which nothing may be left."""
    body = "w = Add(x, z) y = LayerNormalization<epsilon=1e-12>(w, s, b)"
    text = f"g (float[1, 64, 8] x, float[1, 64, 8] z) => (float[1, 64, 8] y) {{ {body} }}"
    stored = {"s": np.ones(8, np.float32), "b": np.zeros(8, np.float32)}
    boxes = {"x": box(1e3, 1e3 + 1e-3, 1, 64, 8), "z": box(0, 0, 1, 64, 8)}
    assert "y" not in bounds(text, boxes, stored)
    assert ends(bounds(text, {}, stored, arithmetic="real")["y"]) == pytest.approx((-(8**0.5), 8**0.5), rel=1e-3)
    random, largest = np.random.default_rng(0), 0.0
    fused = session(parse(text, stored), optimize=True)
    for _ in range(50):
        near = 1e3 + 6e-5 * random.integers(0, 8, (1, 64, 8))
        (y,) = fused.run(["y"], {"x": near.astype(np.float32), "z": np.zeros((1, 64, 8), np.float32)})
        largest = max(largest, float(np.abs(y[np.isfinite(y)]).max()))
    assert largest > 8**0.5


def test_ends_are_rounded_in_single_precision() -> None:
    """NumPy 1 makes doubles of single numbers and Python's floats, and onnxruntime takes none."""
    for array in (np.array([0.1, -1e300, 2.0]), np.array([0.5], np.float32)):
        for end in (rounded_down(array), rounded_up(array)):
            assert end.dtype == np.float32


@pytest.mark.parametrize(
    "body",
    ["Mul (x, ones)", "Div (x, ones)", "Add (x, zeros)", "Sub (x, zeros)", "Sum (x, x, zeros)", "Where (c, x, half)"],
)
def test_what_is_repeated_for_another_operand_is_read_as_often(body: str) -> None:
    """A stored zero or one changes no number, but there are sixteen of them behind it."""
    stored = {"ones": np.ones((1, 1, 4, 4)), "zeros": np.zeros((1, 1, 4, 4)), "half": np.array(0.5)}
    weights = {name: array.astype(np.float32) for name, array in stored.items()} | {
        "w": np.ones((1, 1, 3, 3), np.float32)
    }
    text = f"""g (float[1, 1, 1, 1] x, bool[1, 1, 4, 4] c) => (float t, float[1, 1, 4, 4] z, float[1, 1, 4, 8] k) {{
        y = {body} t = ReduceSum <keepdims = 0> (y) z = Conv <pads = [1, 1, 1, 1]> (y, w)
        k = Concat <axis = 3> (y, y) }}"""
    inputs = {"x": box(1, 2, 1, 1, 1, 1), "c": Box(np.zeros((1, 1, 4, 4), np.bool_), np.ones((1, 1, 4, 4), np.bool_))}
    found = bounds(text, inputs, weights, tried=20)
    assert found["y"].low.shape == found["y"].high.shape == (1, 1, 4, 4)
    assert found["t"].high >= 32
    assert found["z"].high.max() >= 18


@pytest.mark.parametrize(
    "rows",
    [
        "n = NonZero (x) y = Gather (t, n)",
        "n = NonZero (x) m = Transpose (n) i = Slice (m, one, two, one) y = GatherND (t, i)",
        "s = ReduceSum<keepdims = 0> (x) i = Cast<to = 7> (s) k = Unsqueeze (i, zero) y = ConstantOfShape (k)",
        "y = If (b) <then_branch = p () => (float[4] u) { u = Reshape (x, all) },"
        " else_branch = q () => (float[1] v) { v = Identity (w) }>",
    ],
    ids=["places", "rows", "count", "branches"],
)
def test_how_many_numbers_inputs_make_is_not_taken_from_one_sample(rows: str) -> None:
    """A sum over as many as a sample has is no bound of the sum of another."""
    numbers = (("zero", 0), ("one", 1), ("two", 2), ("all", -1))
    stored: dict[str, Array] = {name: np.array([number], np.int64) for name, number in numbers}
    stored |= {"t": np.ones((4, 2), np.float32), "w": np.ones(1, np.float32)}
    text = f"g (float[1, 4] x, bool b) => (float z) {{ {rows} f = Sigmoid (y) z = ReduceSum<keepdims = 0> (f) }}"
    inputs = {"x": box(0, 1, 1, 4), "b": Box(np.zeros((), np.bool_), np.ones((), np.bool_))}
    assert not {"y", "f", "z"} & bounds(text, inputs, stored, tried=0).keys()


def test_how_many_numbers_lengths_make_is_always_the_same() -> None:
    text = """g (float[1, 4] x) => (float z) {
        h = ReduceMax<keepdims = 1> (x) s = Shape (x) y = Expand (h, s) z = ReduceSum<keepdims = 0> (y) }"""
    assert ends(bounds(text, {"x": box(0, 1, 1, 4)})["z"]) == pytest.approx((0, 4), abs=1e-4)


@pytest.mark.parametrize("body", ["Max (x, c)", "Min (x, c)", "Gather (t, i)"])
def test_stored_numbers_that_are_none_bound_nothing_and_end_nothing(body: str) -> None:
    """What comes out there is no number, or one of others of which nothing is said."""
    stored = {"c": np.array(np.nan, np.float32), "t": np.array([[1, np.nan], [2, 3]], np.float32)}
    text = f"g (float[1, 2] x, int64[1, 1] i) => (float y) {{ y = {body} }}"
    inputs = {"x": box(0, 1, 1, 2), "i": box(0, 1, 1, 1, dtype=np.int64)}
    assert "y" not in bounds(text, inputs, stored)


def test_whole_numbers_beyond_those_of_the_next_type_wrap_around() -> None:
    text = "g (uint64[1, 2] x) => (float[1, 2] y) { i = Cast<to = 7> (x) y = Cast<to = 1> (i) }"
    found = bounds(text, {"x": box(0, 2**64 - 1, 1, 2, dtype=np.uint64)})
    assert not {"i", "y"} & found.keys()


@pytest.mark.parametrize("variance", [-9.99e-6, -9.9999e-6, -5e-6])
def test_a_variance_below_zero_is_lost_beside_epsilon(variance: float) -> None:
    """Single precision has a few of its digits, or none, so that what is divided by it is off by as much."""
    one, none = np.ones(2, np.float32), np.zeros(2, np.float32)
    stored = {"s": one, "b": none, "m": none, "v": np.full(2, variance, np.float32)}
    text = "g (float[1, 2, 1, 1] x) => (float y) { y = BatchNormalization (x, s, b, m, v) }"
    bounds(text, {"x": box(0, 1, 1, 2, 1, 1)}, stored)


def test_a_number_below_zero_outside_of_what_is_resized_crosses_no_bounds() -> None:
    stored = {"roi": np.array([0, 0, -1, -1, 1, 1, 2, 2], np.float32), "s": np.array([1, 1, 2, 2], np.float32)}
    mode = 'mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize", extrapolation_value = -0.3'
    text = f"g (float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y) {{ y = Resize<{mode}> (x, roi, s) }}"
    assert bounds(text, {"x": box(-1, 1, 1, 1, 2, 2)}, stored)["y"].high.max() > -0.3
