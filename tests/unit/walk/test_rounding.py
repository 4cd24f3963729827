"""Derived constants are what the run calculates in the value's own type, or nothing is derived."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import analyzer
from analyzer.algebra.constants import Constants
from analyzer.facts.audit import LayerVerdicts
from analyzer.ops.context import FROZEN
from analyzer.runtime.loading import load_model
from analyzer.units import select_units
from analyzer.walk import walk
from analyzer.walk.flow import constants_forward
from analyzer.walk.rounding import rounded
from tests.audits import table_of
from tests.models import Array, all_values, context, parse

FEEDS = {"x": np.ones((2, 2), np.float32)}
ONE_SAMPLE = {"x": np.ones((1, 2), np.float32)}


def single(*numbers: float) -> dict[str, Array]:
    return {f"k{place}": np.full(2, number, np.float32) for place, number in enumerate(numbers)}


def both(body: str, stored: dict[str, Array], name: str = "z") -> tuple[Constants, Array]:
    """What is derived for a value of the body, which starts at `c`, the constant k0; and what the run shows."""
    stored = {"zeros": np.zeros(2, np.float32), **stored}
    model = parse(f"g (float[n, 2] x) => (float[n, 2] y) {{ none = Mul(x, zeros) c = Add(none, k0) {body} }}", stored)
    shown = all_values(model, ONE_SAMPLE)[name]
    return constants_forward(context(model, ONE_SAMPLE), {})[name], shown


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ("a = Mul(c, k1) d = Mul(a, k2) b = Mul(d, k2) z = Sigmoid(b)", (1e-30, 1e-30, 1e30)),
        ("a = Add(c, k1) b = Sub(a, k2) z = Sigmoid(b)", (1e8, 1.0, 1e8)),
        ("a = Mul(c, k1) z = Ceil(a)", (0.1, 10.0)),
        ("a = Mul(c, k1) e = Equal(a, k2) z = Cast<to=1>(e)", (0.1, 3.0, 0.3)),
        ("a = Mul(c, k1) e = Equal(a, k2) z = Cast<to=1>(e)", (0.1, 3.0, float(np.float32(0.1) * np.float32(3)))),
    ],
)
def test_every_step_is_rounded_as_the_run_rounds_it(body: str, numbers: tuple[float, ...]) -> None:
    found, shown = both(f"{body} y = Identity(z)", single(*numbers))
    assert found.all
    np.testing.assert_allclose(np.broadcast_to(found.number, shown.shape), shown, rtol=1e-6)


def test_what_overflows_is_not_derived() -> None:
    found, shown = both("z = Mul(c, c) y = Identity(z)", single(1e30))
    assert np.isinf(shown).all()
    assert not found.any


def test_a_sum_close_to_a_jump_is_not_carried_over_it() -> None:
    ten = {**single(0.1), "w": np.full((2, 2), 5, np.float32)}
    assert not both("a = MatMul(c, w) z = Ceil(a) y = Identity(z)", ten)[0].any
    assert not both("a = MatMul(c, w) e = Less(a, k1) z = Cast<to=1>(e) y = Identity(z)", ten | single(0.1, 1.0))[0].any
    far, shown = both("a = MatMul(c, w) z = Ceil(a) y = Identity(z)", ten | single(0.13))
    assert far.all
    assert (far.number == shown).all()


@pytest.mark.parametrize("beside", [-1e-7, 0.0, 1e-7])
@pytest.mark.parametrize("jump", ["e = Equal(a, k1)", "d = Sub(a, k1) e = Cast<to=9>(d)"])
def test_equality_is_not_derived_beside_the_place_where_it_holds(jump: str, beside: float) -> None:
    """Between the two ends of what a sum may be lies what it is compared with."""
    stored = {**single(0.1, 0.7 + beside), "w": np.array([[3, 3], [4, 4]], np.float32)}
    assert not both(f"a = MatMul(c, w) {jump} z = Cast<to=1>(e) y = Identity(z)", stored)[0].any


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_no_sum_is_the_largest_of_several_that_only_their_last_digits_tell_apart(op: str) -> None:
    place = f"i = {op}<axis=1>({{}}) z = Cast<to=1>(i) y = Add(x, z)"
    stored = {**single(0.1), "w": np.array([[3, 4], [4, 3]], np.float32)}
    assert not both(f"a = MatMul(c, w) {place.format('a')}", stored)[0].any
    stated, shown = both(place.format("c"), stored)
    assert stated.all
    assert (stated.number == shown).all()


def test_a_sum_whose_last_digit_decides_a_jump_stays_as_it_is() -> None:
    """Its constants are not absorbed, since in a bias they would add up to another last digit."""
    body = "m = MatMul(x, o) h = Add(m, b) a = Relu(h) q = MatMul(a, w) e = Equal(q, k) s = Cast<to=1>(e) y = Add(s, a)"
    stored: dict[str, Array] = {
        "o": np.zeros((2, 2), np.float32),
        "b": np.array([0.1, 0.2], np.float32),
        "k": np.array([0.7, 5], np.float32),
        "w": np.array([[1, 1], [3, 2]], np.float32),
    }
    model = parse(f"g (float[n, 2] x) => (float[n, 2] y) {{ {body} }}", stored)
    graph, table = load_model(model).graph, table_of(model, FEEDS)
    found = walk(graph, table, [LayerVerdicts.unseen(audited) for audited in select_units(graph, table)])
    assert found.closure.keeps.shape("w") == (2, 2)
    assert [(o.op, o.why) for o in found.operators_without_rule] == [("MatMul", FROZEN)]
    assert found.multiply_adds == 4 + 4


def test_a_jump_is_taken_where_the_operand_is_what_the_weights_store() -> None:
    zeros_and_bias = {**single(3.0, 2.0), "w": np.zeros((2, 2), np.float32)}
    found, shown = both("a = Gemm(x, w, k1) r = Relu(a) z = Floor(r) y = Identity(z)", zeros_and_bias)
    assert found.all
    assert (found.number == shown).all()


@pytest.mark.parametrize(("dtype", "number", "held"), [
    ("float16", 1e5, np.inf), ("float16", 1e-9, 0.0), ("bfloat16", 1.001, 1.0), ("float32", 1e39, np.inf),
    ("float64", 0.1, 0.1),
])  # fmt: skip
def test_numbers_are_rounded_to_the_type(dtype: str, number: float, held: float) -> None:
    assert rounded(np.array([number]), dtype)[0] == held


def test_whole_numbers_that_double_precision_cannot_tell_apart_are_not_derived() -> None:
    stored = {"k0": np.full(2, 2**53 + 1, np.int64), "zeros": np.zeros(2, np.int64)}
    model = parse("g (int64[n, 2] x) => (int64[n, 2] y) { none = Mul(x, zeros) z = Add(none, k0) y = Neg(z) }", stored)
    feeds = {"x": np.ones((1, 2), np.int64)}
    assert not constants_forward(context(model, feeds), {})["z"].any


def test_units_that_were_not_finite_are_constant_neither_in_the_verdicts_nor_in_the_facts() -> None:
    stored = {"w": np.zeros((2, 3), np.float32), "b": np.ones(3, np.float32), "v": np.ones((3, 2), np.float32)}
    model = parse("g (float[n, 2] x) => (float[n, 2] y) { p = Gemm(x, w, b) h = Relu(p) y = MatMul(h, v) }", stored)
    graph, table = load_model(model).graph, table_of(model, FEEDS)
    layers = [LayerVerdicts.unseen(audited) for audited in select_units(graph, table)]
    judged = [replace(layer, nonfinite=(1,)) if layer.value == "h" else layer for layer in layers]
    found = walk(graph, table, judged)
    verdicts = next(layer for layer in found.layers if layer.value == "h")
    assert verdicts.structural == (0, 2)
    assert np.broadcast_to(found.facts["h"].known, (1, 3)).tolist() == [[True, False, True]]
    assert not found.facts["y"].any


LAPLACE = np.full((3, 1, 3, 3), -1, np.float32)
LAPLACE[:, 0, 1, 1] = 8


@pytest.mark.parametrize(
    "body",
    [
        "l = Conv<group=3>(h, laplace)  s = Sign(l)",
        "m = ReduceMean<axes=[1], keepdims=1>(h)  l = Sub(h, m)  s = Sign(l)",
        "m = ReduceMean<axes=[1], keepdims=1>(h)  e = Greater(h, m)  s = Cast<to=1>(e)",
    ],
)
def test_zeros_that_are_left_when_sums_cancel_are_no_exact_ones(body: str) -> None:
    stored = {"k": np.zeros((3, 2, 1, 1), np.float32), "b": np.array([0.1, 0.7, 0.3], np.float32), "laplace": LAPLACE}
    text = f"g (float[n, 2, 7, 7] x) => (float[n, 3, p, q] s) {{ c = Conv(x, k, b)  h = Relu(c)  {body} }}"
    model, feeds = parse(text, stored, 13), {"x": np.ones((1, 2, 7, 7), np.float32)}
    shown = all_values(model, feeds)["s"]
    found = constants_forward(context(model, feeds), {})["s"]
    claimed = np.broadcast_to(found.known, shown.shape)
    assert (shown[claimed] == np.broadcast_to(found.number, shown.shape)[claimed]).all()


def test_zeros_of_which_every_term_is_zero_are_exact() -> None:
    found, _ = both(
        "m = Mul(none, k1)  n = Add(m, none)  e = Equal(n, zeros)  z = Cast<to=1>(e)  y = Identity(z)", single(3, 5)
    )
    assert found.all
    assert (np.asarray(found.number) == 1).all()


@pytest.mark.parametrize(("bounds", "goes"), [("1e-9", True), ("1e-9 + 1 - 1", False)])
def test_a_divisor_that_rounding_makes_zero_has_no_bound(bounds: str, goes: bool) -> None:
    """1e-9 + 1 - 1 is 0 in single precision, and 0 / 0 no constant."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 6)).astype(np.float32)
    w[:, :3] = 0
    stored = {"w": w, "least": np.array(1e-9, np.float32), "one": np.array(1, np.float32)}
    stored |= {"minus": np.array(-1, np.float32), "v": rng.standard_normal((6, 2)).astype(np.float32)}
    shifted = "s = Add(c, one)  t = Add(s, minus)" if not goes else "t = Identity(c)"
    text = (
        "g (float[N,4] x, float[N,1] m) => (float[N,2] y) { h = MatMul(x, w)  r = Relu(h)  c = Clip(m, least) "
        + shifted
        + "  d = Div(r, t)  y = MatMul(d, v) }"
    )
    data = {"x": rng.standard_normal((70, 4)).astype(np.float32), "m": np.ones((70, 1), np.float32)}
    structural = analyzer.Choice(evidence=analyzer.Evidence.STRUCTURAL)
    pruned = analyzer.prune(parse(text, stored), data, choice=structural, latency=False, causes=False)
    assert ("v" in pruned.masks()) is goes
