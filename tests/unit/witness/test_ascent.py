"""Gradients through operators, held against what small steps of the input change; and what a pretended slope is for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest

from analyzer.facts.domain import Box
from analyzer.ops.context import Context
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from analyzer.witness.ascent import Ascent, Goal, spread
from analyzer.witness.claims import Aim, Seen
from analyzer.witness.points import Points, joined
from analyzer.witness.sight import Feeding
from tests.models import Array, parse, run

LIKE = np.random.default_rng(5)


def drawn(*shape: int) -> Array:
    return LIKE.normal(size=shape).astype(np.float32)


# Each net gives y [n, 4, …] of x [n, 6] or of an image [n, 2, 6, 6]; weights beside it.
ROWS = {
    "gemm": ("y = Gemm<transB=1, alpha=0.5> (x, w, b)", {"w": drawn(4, 6), "b": drawn(4)}),
    "matmul and add": ("h = MatMul (x, w) y = Add (h, b)", {"w": drawn(6, 4), "b": drawn(4)}),
    "smooth": ("h = MatMul (x, w) t = Tanh (h) s = Sigmoid (t) y = Mul (t, s)", {"w": drawn(6, 4)}),
    "two inputs of one": ("h = MatMul (x, w) e = Exp (h) y = Div (h, e)", {"w": drawn(6, 4) / 8}),
    "repeated along axes": (
        "m = ReduceMean<axes=[1], keepdims=1> (x) y = MatMul (x, w) z = Sub (y, m)",
        {"w": drawn(6, 4)},
    ),
    "slices joined": (
        "a = Slice (x, one, three, one) b = Concat<axis=1> (x, a) y = MatMul (b, w)",
        {"one": np.array([1]), "three": np.array([3]), "w": drawn(8, 4)},
    ),
    "gathered twice": ("g = Gather<axis=1> (x, i) y = MatMul (g, w)", {"i": np.array([5, 0, 5]), "w": drawn(3, 4)}),
    "turned": (
        "r = Reshape (x, s) t = Transpose<perm=[0, 2, 1]> (r) f = Flatten (t) y = MatMul (f, w)",
        {"s": np.array([-1, 2, 3]), "w": drawn(6, 4)},
    ),
    "einsum": ('y = Einsum<equation = "bi,io->bo"> (x, w)', {"w": drawn(6, 4)}),
    "rectified": ("h = MatMul (x, w) y = Relu (h)", {"w": drawn(6, 4)}),
    "between two ends": (
        "h = MatMul (x, w) y = Clip (h, a, b)",
        {"w": drawn(6, 4), "a": np.array(-0.5, np.float32), "b": np.array(0.75, np.float32)},
    ),
    "leaky": ("h = MatMul (x, w) y = LeakyRelu (h)", {"w": drawn(6, 4)}),
}
IMAGES = {
    "conv": ("y = Conv<pads=[1,1,1,1]> (x, w, b)", {"w": drawn(4, 2, 3, 3), "b": drawn(4)}),
    "strided and dilated": (
        "y = Conv<strides=[2,1], dilations=[1,2], pads=[1,0,0,1]> (x, w)",
        {"w": drawn(4, 2, 3, 3)},
    ),
    "dilated in groups": (
        "y = Conv<group=2, dilations=[2,1], pads=[2,1,0,1]> (x, w)",
        {"w": drawn(4, 1, 3, 2)},
    ),
    "more padding than a kernel": ("y = Conv<pads=[2,3,2,3]> (x, w)", {"w": drawn(4, 2, 2, 3)}),
    "grouped": ('y = Conv<group=2, auto_pad="SAME_UPPER", strides=[2,2]> (x, w)', {"w": drawn(4, 1, 2, 2)}),
    "transposed": ("y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]> (x, w)", {"w": drawn(2, 4, 3, 3)}),
    "normalised": (
        "h = Conv (x, w) y = BatchNormalization (h, s, b, m, v)",
        {"w": drawn(4, 2, 1, 1), "s": drawn(4), "b": drawn(4), "m": drawn(4), "v": np.abs(drawn(4)) + 1},
    ),
    "maximum": (
        "h = Conv (x, w) y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (h)",
        {"w": drawn(4, 2, 1, 1)},
    ),
    "average": ("h = Conv (x, w) y = AveragePool<kernel_shape=[2,2], strides=[2,2]> (h)", {"w": drawn(4, 2, 1, 1)}),
    "largest of all": ("h = Conv (x, w) y = GlobalMaxPool (h)", {"w": drawn(4, 2, 3, 3)}),
    "smallest along axes": (
        "h = Conv (x, w) y = ReduceMin<axes=[3, 2], keepdims=0> (h)",
        {"w": drawn(4, 2, 3, 3)},
    ),
    "mean of all": ("h = Conv (x, w) y = GlobalAveragePool (h)", {"w": drawn(4, 2, 3, 3)}),
}


def net(text: str, stored: Mapping[str, Array], shape: str, opset: int = 17) -> onnx.ModelProto:
    last = "z" if " z = " in text else "y"
    return parse(f"g (float[n,{shape}] x) => (float {last}) {{ {text} }}", stored, opset)


def ascent_of(model: onnx.ModelProto, x: Array, axis: int = 1) -> tuple[Ascent, Feeding]:
    loaded = load_model(model)
    probe = open_probe({"x": x}, loaded.graph.inputs)
    shapes = measure_shapes(loaded, probe)
    feeding = Feeding(shapes, 8, frozenset({"x"}))
    aims = [Aim(output.name, axis, sign, 0.0) for output in model.graph.output for sign in (1, -1)]
    return Ascent(loaded, Context(loaded.graph, shapes), aims, feeding, threads=1), feeding


def climbed(ascent: Ascent, start: Points, goals: list[list[Goal]], slope: float = 0.0) -> Points:
    """All points that a climb within [-1, 1] or [0, 1], as it starts, comes by."""
    low = -1.0 if start["x"].min() <= 0 else 0.0
    box = {"x": Box(np.full(start["x"].shape[1:], low, np.float32), np.ones(start["x"].shape[1:], np.float32))}
    seen = list[Points]()

    def look(points: Points, _: Seen) -> None:
        seen.append({name: array.copy() for name, array in points.items()})

    ascent.climb(start, [box] * len(goals), goals, slope, 0.5, look, lambda: True)
    return joined(seen)


@pytest.mark.parametrize("name", [*ROWS, *IMAGES])
def test_the_gradient_is_what_small_steps_show(name: str) -> None:
    text, stored = (ROWS | IMAGES)[name]
    shape = "6" if name in ROWS else "2,6,6"
    model, random = net(text, stored, shape), np.random.default_rng(3)
    x = random.normal(size=(3, *map(int, shape.split(",")))).astype(np.float32)
    ascent, feeding = ascent_of(model, x)
    assert feeding.together == 8 and ascent.reached == ("x",) and not ascent.blocked
    output = model.graph.output[0].name
    values = run(model, {"x": x})[output].reshape(3, 4, -1)
    goals = [[Goal(output, unit, sign, 0.25, 2.0)] for unit, sign in ((0, 1), (2, -1), (3, 1))]
    size = values.shape[2]
    places = [[goal.unit * size + size // 2] for (goal,) in goals]
    picked = [(goal, place) for (goal,), (place,) in zip(goals, places, strict=True)]
    told = ascent._run({"x": x[:, np.newaxis]}, goals, places, 0.0)
    assert np.allclose(told.seen.largest[output], values.max(axis=2), atol=1e-5)
    assert np.allclose(told.seen.smallest[output], values.min(axis=2), atol=1e-5)
    assert np.allclose(told.maps[output].reshape(3, 3, -1), values[:, [0, 2, 3]], atol=1e-5)

    def height(points: Array) -> Array:
        numbers = run(model, {"x": points})[output].reshape(3, -1)
        return np.array([2 * g.sign * numbers[i, place] for i, (g, place) in enumerate(picked)])

    step = 1e-2
    shown = np.zeros_like(x)
    for place in np.ndindex(x.shape[1:]):
        moved = [x.copy(), x.copy()]
        for direction, points in zip((step, -step), moved, strict=True):
            points[(slice(None), *place)] += direction
        shown[(slice(None), *place)] = (height(moved[0]) - height(moved[1])) / (2 * step)
    gradient = told.gradients["x"][:, 0]
    if name == "maximum":  # at ties and corners a step shows something else
        assert (np.sign(gradient) == np.sign(shown)).mean() > 0.95
    else:
        assert np.allclose(gradient, shown, atol=0.02 * np.abs(shown).max())
    ascent.close()


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_gradients_are_had_in_old_and_new_opsets(opset: int) -> None:
    model = net(
        "h = Gemm (x, w, b) r = Relu (h) y = Gemm (r, v, b)",
        {"w": drawn(6, 6)[:, :4], "v": drawn(4, 4), "b": drawn(4)},
        "6",
        opset,
    )
    ascent, _ = ascent_of(model, drawn(3, 6))
    assert ascent.reached == ("x",)
    ascent.close()


def test_behind_a_dead_layer_a_pretended_slope_leads_the_way() -> None:
    """The first unit fires only at x0 = 1 and x1 = -1, and nothing else reaches the second one."""
    first = np.array([[1.0], [-1.0], [0], [0], [0], [0]], np.float32)
    model = net(
        "h = Gemm (x, w, b) r = Relu (h) y = MatMul (r, v)",
        {"w": first, "b": np.array([-1.5], np.float32), "v": np.ones((1, 4), np.float32)},
        "6",
    )
    start, goals = {"x": np.zeros((1, 1, 6), np.float32)}, [[Goal("y", 0, 1, 0.0)]]
    ascent, _ = ascent_of(model, np.zeros((2, 6), np.float32))
    blind, led = (climbed(ascent, start, goals, slope)["x"][:, 0] for slope in (0.0, 0.3))
    assert run(model, {"x": blind})["y"].max() == 0
    assert run(model, {"x": led})["y"].max() > 0
    assert np.abs(led).max() <= 1
    ascent.close()


def test_an_operator_without_a_gradient_is_named() -> None:
    model = net("h = MatMul (x, w) y = CumSum (h, a)", {"w": drawn(6, 4), "a": np.array(1)}, "6")
    ascent, _ = ascent_of(model, drawn(3, 6))
    assert not ascent.reached and ascent.blocked == {"y": {"CumSum"}}
    ascent.close()


def test_only_floats_have_gradients() -> None:
    model = parse("g (int64[n,3] x) => (float[n,3] y) { y = Cast<to=1> (x) }")
    ascent, _ = ascent_of(model, np.ones((2, 3), np.int64))
    assert not ascent.reached and ascent.blocked == {"y": set()}


def test_goals_of_one_point_stand_apart_and_at_the_best_place_that_is_left() -> None:
    maps, used = np.zeros((3, 16, 16), np.float32), np.zeros((16, 16), np.bool_)
    maps[0, 4, 4] = maps[1, 5, 5] = 2
    maps[1, 12, 12] = 1
    maps[2, 0, 15] = 3
    assert [spread(heights, used) for heights in maps] == [(4, 4), (12, 12), (0, 15)]


def test_goals_share_a_place_where_there_is_but_one() -> None:
    used = np.zeros((), np.bool_)
    assert [spread(np.array(height), used) for height in (1.0, 2.0)] == [(), ()]
    full = np.ones((2, 2), np.bool_)
    assert spread(np.array([[0.0, 1.0], [2.0, np.nan]]), full) == (1, 0)


def test_values_are_climbed_together_and_each_says_what_stops_its_gradient() -> None:
    """Of two values, one behind an operator without a gradient: the other one is reached all the same."""
    text = "g (float[n,6] x) => (float[n,4] y, float[n,4] z) { y = MatMul (x, w) z = CumSum (y, a) }"
    model = parse(text, {"w": drawn(6, 4), "a": np.array(1)}, 17)
    ascent, _ = ascent_of(model, drawn(3, 6))
    assert ascent.values == ("y",) and ascent.blocked == {"z": {"CumSum"}}
    goals = [[Goal("y", 1, 1, 2.0), Goal("y", 2, -1, 1e9)], [Goal("y", 3, 1, 1e9)]]
    points = climbed(ascent, {"x": np.zeros((2, 1, 6), np.float32)}, goals)
    assert run(model, {"x": points["x"][:, 0]})["y"][:, 3].max() == pytest.approx(
        np.abs(ascent_weights(model)[:, 3]).sum(), rel=1e-3
    )
    ascent.close()


def ascent_weights(model: onnx.ModelProto) -> Array:
    """The matrix of the net above."""
    return next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "w")


def test_a_climb_ends_where_all_is_reached() -> None:
    model = net("y = MatMul (x, w)", {"w": np.ones((6, 4), np.float32)}, "6")
    ascent, _ = ascent_of(model, drawn(3, 6))
    points = climbed(ascent, {"x": np.zeros((1, 1, 6), np.float32)}, [[Goal("y", 0, 1, 2.0), Goal("y", 0, 1, 2.5)]])
    assert len(points["x"]) == 3  # where it starts, where it looked which way to go, and 6 * 0.5 further
    ascent.close()


def test_several_targets_are_reached_from_one_point() -> None:
    """Each of four channels is woken by a picture of its own kind, at places that do not see one another."""
    kernels = np.array(
        [[[[1, -1], [-1, 1]]], [[[-1, 1], [1, -1]]], [[[1, 1], [-1, -1]]], [[[1, -1], [1, -1]]]], np.float32
    )
    text = "g (float[n,1,16,16] x) => (float[n,4,15,15] y) { y = Conv (x, w, b) }"
    model = parse(text, {"w": kernels, "b": np.full(4, -1.5, np.float32)})
    ascent, _ = ascent_of(model, np.zeros((2, 1, 16, 16), np.float32))
    start = {"x": np.full((1, 1, 1, 16, 16), 0.5, np.float32)}
    points = climbed(ascent, start, [[Goal("y", unit, 1, 0.0) for unit in range(4)]])
    assert (run(model, {"x": points["x"][:, 0]})["y"].max(axis=(0, 2, 3)) > 0).all()
    ascent.close()
