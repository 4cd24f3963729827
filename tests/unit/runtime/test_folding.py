"""What stored tensors alone decide is computed by onnxruntime; what fails, draws numbers or is too large is left."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from analyzer.graph import static
from analyzer.runtime import folding
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from tests.models import Array, parse

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def constants(nodes: str, *wanted: str, opset: int = 18, **stored: Any) -> list[Array | None]:
    """The wanted values of a graph of these nodes, of whose inputs only `x` is not stored."""
    model = parse(f"g (float[n] x) => (float[n] y) {{ y = Relu(x) {nodes} }}", {"w": W, **stored}, opset)
    graph = load_model(model).graph
    return [graph.constant(name) for name in wanted]


def test_several_negative_axes_before_opset_13() -> None:
    (a,) = constants("a = Unsqueeze<axes=[-2,-1]>(w)", "a", opset=11)
    assert a is not None
    assert a.shape == (2, 3, 1, 1)


def test_booleans_can_fill_a_shape() -> None:
    (a,) = constants("a = ConstantOfShape<value=bool[1]{1}>(s)", "a", s=np.array([2, 2]))
    assert a is not None
    assert a.dtype == np.bool_
    assert a.all()


def test_lengths_that_are_computed_on_the_way_are_asked_for_in_a_second_step() -> None:
    stored: dict[str, Any] = {"s": np.array([1, 0, 1, 0]), "t": np.array([2, 3, 4, 5]), "f": np.zeros(1, np.float32)}
    nodes = "n = Cast<to=9>(s) m = Not(n) l = Where(n, t, s) k = ReduceMax<keepdims=1>(l) a = Expand(f, k) b = Exp(a)"
    a, b = constants(nodes, "a", "b", **stored)
    assert a is not None
    assert b is not None
    assert a.shape == b.shape == (4,)


def test_numbers_that_numpy_does_not_have_are_known_too() -> None:
    (a,) = constants("a = Cast<to=16>(w)", "a")
    assert a is not None
    assert np.array_equal(a, W.astype(ml_dtypes.bfloat16))


def test_what_depends_on_an_input_is_unknown() -> None:
    assert constants("a = Add(w, x) b = Shape(x)", "a", "b") == [None, None]


@pytest.mark.parametrize(
    "broken",
    [
        "b = foreign.Bogus(w)",
        "b = Bogus(w)",
        "b = Reshape(w, s)",  # fails when it runs
        "b = Gemm<alpha=1.0>(w, w)",  # fails when it is loaded
        "b = Tile(t, r)",  # text
    ],
)
def test_a_node_that_fails_takes_only_what_needs_it_along(broken: str) -> None:
    stored: dict[str, Any] = {"s": np.array([7]), "t": np.array(["a"], object), "r": np.array([2])}
    nodes = f"a = Neg(w) {broken} c = Identity(b) d = Exp(a) z = Shape(c)"
    a, b, c, d, _ = constants(nodes, "a", "b", "c", "d", "z", **stored)
    assert a is not None
    assert d is not None
    assert b is None
    assert c is None
    assert np.array_equal(a, -W)


def test_many_nodes_that_fail_do_not_hide_the_others() -> None:
    failing = " ".join(f"b{i} = foreign.Bogus(w)" for i in range(200))
    (a,) = constants(f"{failing} a = Neg(w)", "a")
    assert a is not None


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("kind", ["foreign.Bogus", "foreign.Bogus{i}"])
def test_operators_that_onnxruntime_does_not_have_hide_nothing(
    kind: str, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names no node when it refuses one; a build need not list its operators."""
    if not listed:
        monkeypatch.setattr("analyzer.runtime.session._registered", frozenset)
    many = 60 if listed or kind == "foreign.Bogus" else 8
    mixed = " ".join(f"b{i} = {kind.format(i=i)}(w) c{i} = Neg(w)" for i in range(many))
    assert all(array is not None for array in constants(mixed, *(f"c{i}" for i in range(many))))


def test_halves_are_tried_where_no_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.runtime.opening._NODE", re.compile("(nothing)"))
    nodes = "a = Neg(w) b = Reshape(w, s) c = Exp(b) d = Exp(a)"
    a, b, c, d = constants(nodes, "a", "b", "c", "d", s=np.array([7]))
    assert a is not None
    assert d is not None
    assert b is None
    assert c is None


@pytest.mark.parametrize(
    "nodes",
    [
        "a = ConstantOfShape(s)",
        "a = Expand(f, s)",
        "a = Tile(f, s)",
        "t = Abs(s) a = Expand(f, t)",
        "a = OneHot(i, l, v)",
        "t = Concat<axis=0>(s, s) a = ConstantOfShape(t)",
    ],
)
def test_nothing_is_computed_that_may_not_fit(nodes: str) -> None:
    large: dict[str, Any] = {"s": np.array([1 << 20, 1 << 20]), "f": np.zeros((1, 1), np.float32)}
    more: dict[str, Any] = {"i": np.zeros(9, np.int64), "l": np.array([1 << 40]), "v": np.zeros(2, np.float32)}
    a, b = constants(f"{nodes} b = Neg(w)", "a", "b", **large, **more)
    assert a is None
    assert b is not None


def test_results_are_bounded_together() -> None:
    side = int(folding.ROOM**0.5)
    nodes = " ".join(f"a{i} = ConstantOfShape(s)" for i in range(40))
    arrays = constants(nodes, *(f"a{i}" for i in range(40)), s=np.array([side // 4, side // 4]))
    assert 0 < sum(a.nbytes for a in arrays if a is not None) <= 2 * folding.ROOM
    assert arrays[-1] is None


def test_random_numbers_are_no_constants() -> None:
    assert constants("a = RandomNormalLike(w) b = Exp(a)", "a", "b") == [None, None]


def test_an_operator_that_onnx_does_not_know_must_repeat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "draws", lambda *_: False)
    monkeypatch.setattr(onnx.defs, "has", lambda op_type, *_: op_type != "RandomNormalLike")
    a, b, c = constants("a = RandomNormalLike(w) b = Exp(a) c = Neg(w)", "a", "b", "c")
    assert a is None
    assert b is None
    assert c is not None


def test_a_model_without_such_nodes_opens_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "Session", None)
    assert constants("", "y", "w")[0] is None


def test_one_session_does_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def counted(*given: Any, **options: Any) -> Any:
        opened.append(given)
        return Session(*given, **options)

    monkeypatch.setattr("analyzer.runtime.folding.Session", counted)
    values = constants(" ".join(f"a{i} = Neg(w) b{i} = Exp(a{i})" for i in range(30)), "a0", "b29")
    assert all(value is not None for value in values)
    assert len(opened) == 1
