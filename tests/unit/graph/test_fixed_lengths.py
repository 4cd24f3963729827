"""Lengths that the file fixes are stored as numbers, and no others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from analyzer.graph import LoadedModel
from analyzer.graph.serialize import serialize
from analyzer.runtime.loading import load_model
from tests.models import Array, parse, run

HALF = """s = Shape(h)
l = Gather(s, last)
n = Div(l, two)
p = Slice(h, zero, n, last)
q = Slice(h, n, end, last)
y = Mul(p, q)"""
STORED: dict[str, Array] = {
    "w": np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32),
    "pairs": np.array([0, -1, 2]),
    **{name: np.array([n]) for name, n in {"zero": 0, "one": 1, "two": 2, "last": -1, "end": 1 << 40}.items()},
}


def loaded(body: str, x: str = "float[N, T, 3] x", y: str = "float[A, B, C] y") -> tuple[onnx.ModelProto, LoadedModel]:
    proto = parse(f"g ({x}) => ({y}) {{ {body} }}", STORED, 18)
    return proto, load_model(proto)


def operators(model: LoadedModel) -> list[str]:
    return [node.op_type for node in model.graph.nodes]


def number(model: LoadedModel, name: str) -> list[int] | None:
    array = model.graph.constant(name)
    return None if array is None else array.reshape(-1).tolist()


def test_a_length_that_a_weight_fixes_and_what_is_computed_from_it_is_stored() -> None:
    proto, model = loaded(f"h = MatMul(x, w) {HALF}")
    assert operators(model) == ["MatMul", "Slice", "Slice", "Mul"]
    assert number(model, "n") == [4]
    x = np.ones((2, 5, 3), np.float32)
    assert np.array_equal(run(proto, {"x": x})["y"], run(onnx.load_from_string(serialize(model)), {"x": x})["y"])


@pytest.mark.parametrize(
    ("x", "stays"),
    [
        ("float[N, 6, 3] x", False),
        ("float[N, T, 3] x", True),  # named, so it is free
        ("float[6, N, 3] x", True),  # the length of another axis
    ],
)
def test_lengths_of_inputs_count_as_they_are_declared(x: str, stays: bool) -> None:
    _, model = loaded("s = Shape(x) n = Gather(s, one) e = Expand(w, n) y = Expand(x, s)", x)
    assert ("Shape" in operators(model)) is True  # the whole list holds the number of samples
    assert (number(model, "n") is None) is stays


@pytest.mark.parametrize("dim", ["1", "8", "N"])
def test_the_first_axis_of_an_input_is_free_whatever_is_declared(dim: str) -> None:
    _, model = loaded("s = Shape(x) n = Gather(s, zero) t = Concat<axis=0>(n, last) y = Reshape(x, t)",
                      f"float[{dim}, 4, 3] x", "float[A, B] y")  # fmt: skip
    assert "Shape" in operators(model)
    assert number(model, "n") is None


def test_a_length_that_only_a_run_shows_is_not_stored() -> None:
    _, model = loaded("p = NonZero(x) s = Shape(p) n = Gather(s, one) d = Gather(s, zero) "
                      "c = Concat<axis=0>(d, n) y = Reshape(p, c)", y="int64[A, B] y")  # fmt: skip
    assert number(model, "n") is None
    assert number(model, "d") == [3]


def test_a_shape_that_is_made_of_lengths_shows_further_lengths() -> None:
    body = f"h = MatMul(x, w) {HALF.replace('y = Mul', 'm = Mul')} t = Shape(m) k = Gather(t, last) r = Shape(x) "
    _, model = loaded(body + "a = Gather(r, zero) c = Concat<axis=0>(a, last, k) y = Reshape(m, c)")
    assert number(model, "k") == [4]


def test_what_a_caller_may_override_fixes_nothing() -> None:
    proto, model = loaded("h = Reshape(x, pairs) s = Shape(h) n = Gather(s, last) "
                          "c = Concat<axis=0>(zero, last, n) y = Reshape(h, c)", "float[N, T, 4] x")  # fmt: skip
    assert number(model, "c") == [0, -1, 2]
    proto.graph.input.append(onnx.helper.make_tensor_value_info("pairs", onnx.TensorProto.INT64, [3]))
    assert number(load_model(proto), "c") is None


def test_lengths_that_the_model_gives_out_are_still_computed() -> None:
    _, model = loaded("h = MatMul(x, w) s = Shape(h) y = Gather(s, last)", y="int64[A] y")
    assert operators(model)[-1] == "Gather"
    assert model.graph.outputs == ("y",)


GUARD = """s = Shape(x) a = Gather(s, zero) b = Gather(s, one) j = Concat<axis=0>(a, b, PART) l = Reshape(j, last)
e = Equal(l, BELOW) g = Where(e, OTHERS, l) y = Expand(last, g)"""
LISTS: dict[str, Array] = {
    "minus": np.full(3, -1),
    "zeros": np.zeros(3, np.int64),
    "ones": np.ones(3, np.int64),
    "one_minus": np.array([-1]),
    "table": np.ones((1, 3), np.int64),
}


def guarded(part: str = "two", below: str = "minus", others: str = "ones") -> str:
    return GUARD.replace("PART", part).replace("BELOW", below).replace("OTHERS", others)


@pytest.mark.parametrize(
    ("part", "below", "others", "dropped"),
    [
        ("two", "minus", "ones", True),
        ("two", "minus", "zeros", True),
        ("last", "minus", "ones", False),  # the file spells out a -1
        ("two", "zeros", "ones", False),
        ("two", "one_minus", "ones", False),  # of other shapes: nobody looks how they broadcast
        ("two", "minus", "table", False),
    ],
)
def test_no_length_is_below_zero(part: str, below: str, others: str, dropped: bool) -> None:
    text = f"g (float[N, T, 3] x) => (int64[A, B, C] y) {{ {guarded(part, below, others)} }}"
    proto = parse(text, {**STORED, **LISTS}, 18)
    model = load_model(proto)
    assert ({"Where", "Equal"} <= {*operators(model)}) is not dropped
    assert operators(model.unfixed()) == [node.op_type for node in proto.graph.node]
    if others != "table":
        x = np.ones((2, 5, 3), np.float32)
        assert np.array_equal(run(proto, {"x": x})["y"], run(onnx.load_from_string(serialize(model)), {"x": x})["y"])


@pytest.mark.parametrize(
    ("body", "y"),
    [
        (guarded().replace("g = ", "y = ").replace("y = Expand(last, g)", ""), "int64[3] y"),
        (guarded().replace("(a, b, two)", "(a, m, two)").replace("j =", "m = Neg(b) j ="), "int64[A] y"),
        (guarded().replace("(a, b, two)", "(a, m, two)").replace("j =", "m = Gather(k, zero) j ="), "int64[A] y"),
    ],
)
def test_a_guard_that_leaves_the_model_or_guards_something_else_stays(body: str, y: str) -> None:
    proto = parse(f"g (float[N, T, 3] x, int64[2] k) => ({y}) {{ {body} }}", {**STORED, **LISTS}, 18)
    assert "Where" in operators(load_model(proto))
