"""Numbers that no half can hold are found though kernels for CPUs carry them in single precision."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer.facts.audit import HalfOverflow
from tests.models import Array, parse

RNG = np.random.default_rng(4)
W = RNG.normal(size=(6, 8)).astype(np.float16)
X = RNG.normal(size=(20, 6)).astype(np.float16)
X[:, 0] = 1
NUMBERS = {"big": 300.0, "half": 0.5, "low": -60000.0, "edge": 65504.0, "above": 16.0, "below": 15.0}
STORED = {"w": W, "v": W.T.copy(), "two": np.array([2])} | {n: np.array(v, np.float16) for n, v in NUMBERS.items()}


def told(nodes: str, data: Array) -> set[str]:
    """The findings by which it is said that something passed what a half holds, on the CPU already or not."""
    model = parse(
        f"g (float16[n, 6] x) => (float16[] y) {{ {nodes} }}", {n: a for n, a in STORED.items() if f", {n})" in nodes}
    )
    audit = analyzer.audit(model, {"x": data}, causes=False)
    return {w.name for w in audit.warnings} & {"half-overflow", "nonfinite"}


def overflows(nodes: str, data: Array = X, opset: int = 18, typed: str = "float16") -> tuple[HalfOverflow, ...]:
    """Of a model whose nodes end in `y`."""
    used = {name: array for name, array in STORED.items() if f", {name})" in nodes}
    model = parse(f"g ({typed}[n, 6] x) => ({typed}[] y) {{ {nodes} }}", used, opset)
    audit = analyzer.audit(model, {"x": data}, causes=False)
    seen = audit.facts.conditions.overflows
    assert [w.value for w in audit.warnings if w.name == "half-overflow"] == [o.value for o in seen[:1]]
    return seen


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_a_square_that_is_no_audited_unit(opset: int) -> None:
    nodes = "a = Mul(x, big) q = Mul(a, a) r = Sqrt(q) h = Mul(r, half) k = MatMul(h, w) y = Relu(k)"
    (found,) = overflows(nodes, opset=opset)
    assert found.value == "q"
    assert (
        found.extreme == pytest.approx(float((X.astype(np.float64) * 300).max() ** 2), rel=0.2) or found.extreme > 9e4
    )
    assert overflows(nodes, (X / 20).astype(np.float16), opset) == ()


@pytest.mark.parametrize("move", ["Transpose(q)", "Concat<axis = 1>(q, q)", "Gather<axis = 1>(q, two)"])
def test_behind_movements_which_may_really_make_a_half(move: str) -> None:
    """An infinity there is as telling as a number that passes the limit."""
    found = overflows(
        f"a = Mul(x, big) q = Mul(a, a) t = {move} y = Add(t, t)", RNG.uniform(2, 3, (9, 6)).astype(np.float16)
    )
    assert [o.value for o in found if o.value != "t"] == ["q", "y"]
    assert all(o.extreme > 65504 for o in found)


@pytest.mark.parametrize("last", ["y = Relu(b)", "y = Sigmoid(b)", "r = Relu(b) y = MatMul(r, v)"])
def test_an_audited_value_that_only_one_sample_of_the_last_feed_drives(last: str) -> None:
    rows = np.abs(X / 100).astype(np.float16)
    nodes = f"a = MatMul(x, w) b = Mul(a, big) {last}"
    assert told(nodes, rows) == set()
    rows[-1] *= 30000
    assert told(nodes, rows)


def test_where_a_half_rounds_to_infinity() -> None:
    ones = np.ones((9, 6), np.float16)
    assert overflows("a = Mul(x, edge) b = Add(a, below) y = Sqrt(b)", ones) == ()  # 65,519 rounds to 65,504
    (found,) = overflows("a = Mul(x, edge) b = Add(a, above) y = Sqrt(b)", ones)
    assert (found.value, found.extreme) == ("b", 65520.0)


def test_what_a_rectifier_cuts_off_is_no_overflow() -> None:
    ones = np.ones((9, 6), np.float16)
    assert told("s = Mul(x, low) t = Add(s, low) y = Relu(t)", ones) == set()
    assert told("s = Mul(x, low) t = Add(s, low) u = Neg(t) y = Relu(u)", ones)


def test_minus_infinity_into_a_softmax_is_a_mask() -> None:
    masked = "m = Sigmoid(x) s = Mul(m, low) t = Add(s, low) "
    assert overflows(masked + "y = Softmax(t)") == ()
    assert overflows(masked + "y = Abs(t)")[0].value == "t"
    assert overflows(masked + "u = Neg(t) y = Softmax(u)")[0].value == "t"


@pytest.mark.parametrize(("typed", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_other_types_have_room(typed: str, dtype: type) -> None:
    assert overflows("a = Mul(x, x) y = Relu(a)", X.astype(dtype) * 1000, typed=typed) == ()


def test_a_model_of_no_audited_unit_is_looked_at_too() -> None:
    assert [o.value for o in overflows("a = Mul(x, big) q = Mul(a, a) y = Sqrt(q)")] == ["q"]
