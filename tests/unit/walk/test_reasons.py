"""Every reason for which a dead unit stays has a model that shows it; explanations lead from a unit to its end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.errors import InputError
from analyzer.walk import Walk
from tests.audits import audited
from tests.models import Array, parse


def noise(*shape: int) -> Array:
    return np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)


def bias(units: int, *dead: int) -> Array:
    values = np.full(units, 4, np.float32)
    values[list(dead)] = -1e4
    return values


def walked(body: str, x: Array, outputs: str = "float y", **stored: Array) -> Walk:
    dims = ", ".join(["N", *map(str, x.shape[1:])])
    return audited(parse(f"g (float[{dims}] x) => ({outputs}) {{ {body} }}", stored, 21), {"x": x})


DENSE: dict[str, Any] = {"w1": noise(3, 4), "b1": bias(4, 1), "w2": noise(4, 2)}
MAPS: dict[str, Any] = {"w1": noise(4, 2, 1, 1), "b1": bias(4, 1)}
HEAD = "h = Gemm(x, w1, b1) r = Relu(h) "
STEM = "h = Conv(x, w1, b1) r = Relu(h) "
ROWS, IMAGE = noise(8, 3), noise(4, 2, 4, 4)


def reasons(found: Walk, value: str = "r") -> set[str]:
    return {locked.reason for locked in found.locked if locked.value == value}


def test_graph_output() -> None:
    found = walked(HEAD + "y = Gemm(r, w2)", ROWS, "float y, float r", **DENSE)
    assert reasons(found) == {"graph-output"}


def test_residual_partner_alive() -> None:
    found = walked(HEAD + "k = Gemm(x, w1) a = Add(r, k) y = Gemm(a, w2)", ROWS, **DENSE)
    assert reasons(found) == {"residual-partner-alive"}


def test_a_gate_is_no_residual_partner() -> None:
    found = walked(
        HEAD + "k = Gemm(x, w1) a = Mul(r, k) s = Add(a, k) y = Gemm(s, w2)", ROWS, **{**DENSE, "b1": bias(4)}
    )
    assert reasons(found) == set()
    body = "h = Gemm(x, w1, b1) r = Elu(h) k = Gemm(x, w1) a = Mul(r, k) y = Gemm(a, w2)"  # the dead unit rests at -1
    assert reasons(walked(body, ROWS, **DENSE)) == {"elementwise-partner-alive"}


def test_a_gate_of_zero_stays_for_the_block_that_is_read() -> None:
    body = (
        "h = Gemm(x, w1, b1) r = Relu(h) k = Gemm(x, w1) a = Mul(r, k) "
        "y = com.microsoft.MatMulNBits<K=32, N=2, bits=4, block_size=16>(a, q, s)"
    )
    stored: dict[str, Any] = {
        "w1": noise(3, 32),
        "q": np.full((2, 2, 8), 7, np.uint8),
        "s": np.ones((2, 2), np.float32),
    }
    assert reasons(walked(body, ROWS, b1=bias(32, 1), **stored)) == {"packed-in-blocks"}
    assert reasons(walked(body, ROWS, b1=bias(32, *range(16)), **stored)) == set()


def test_a_unit_that_shares_a_block_of_stored_integers_stays_for_that() -> None:
    body = HEAD + "w = DequantizeLinear<axis=0, block_size=2>(q, s) y = Gemm(r, w) "
    stored: dict[str, Any] = {"q": np.arange(8, dtype=np.int8).reshape(4, 2), "s": np.ones((2, 2), np.float32)}
    found = walked(body, ROWS, **DENSE, **stored)
    assert reasons(found) == {"packed-in-blocks"}
    assert "blocks of 2" in found.locked[0].detail
    assert reasons(walked(body, ROWS, **{**DENSE, "b1": bias(4, 2, 3)}, **stored)) == set()


@pytest.mark.parametrize(
    "body",
    [
        "q, s, z = DynamicQuantizeLinear(r) i = MatMulInteger(q, w, z) y = Cast<to=1>(i)",
        "y = com.microsoft.DynamicQuantizeMatMul(r, w, scale, zero)",
        "y = com.microsoft.MatMulNBits<K=4, N=2, bits=8, block_size=16, accuracy_level=4>(r, few, scale, zero)",
    ],
)
def test_only_zeros_leave_a_range_as_it_is(body: str) -> None:
    few = "few" in body
    stored: dict[str, Any] = {
        "w": np.arange(8, dtype=np.int8).reshape(4, 2), "few": np.ones((2, 1, 16), np.uint8),
        "scale": np.ones((2, 1) if few else 2, np.float32),
        "zero": np.zeros((2, 1), np.uint8) if few else np.zeros(2, np.int8),
        "w1": np.asarray(DENSE["w1"] * [1, 0, 1, 1], np.float32),
    }  # fmt: skip
    held, gone = (walked(HEAD + body, ROWS, b1=np.array([1, b, 1, 1], np.float32), **stored) for b in (3, -3))
    assert reasons(held) == {"constant-not-zero"}
    assert few or reasons(gone) == set()


def test_a_stored_shape_is_not_computed_at_run_time() -> None:
    body = STEM + "f = Reshape(r, shape) o = Reshape(f, back) k = Conv(x, w1) a = Add(o, k) y = Conv(a, w2)"
    shapes: dict[str, Any] = {"shape": np.array([0, -1]), "back": np.array([0, 4, 4, 4])}
    found = walked(body, IMAGE, **MAPS, **shapes, w2=noise(3, 4, 1, 1))
    assert reasons(found) == {"residual-partner-alive"}


def test_a_flattened_unit_is_tied_to_all_its_positions() -> None:
    found = walked(STEM + "f = Flatten(r) y = Gemm(f, w2)", IMAGE, **MAPS, w2=noise(64, 2))
    lines = found.explain_unit("r", 1)
    assert any("index 16-31 on axis 0 of w2" in line for line in lines)
    assert any("index 16-31: belongs to index 1 of r, a dead unit" in line for line in found.explain_parameter("w2"))


def test_kept_as_carrier() -> None:
    w1 = noise(4, 2, 1, 1)
    w1[:2] = 0
    found = walked(STEM + "y = Conv<pads=[1,1,1,1]>(r, w2)", IMAGE, w1=w1, b1=bias(4), w2=noise(3, 4, 3, 3))
    assert reasons(found) == {"kept-as-carrier"}
    assert [locked.units for locked in found.locked] == [(0,)]


def test_group_balance() -> None:
    found = walked(STEM + "y = Conv<group=2>(r, w2)", IMAGE, **MAPS, w2=noise(4, 2, 3, 3))
    assert reasons(found) == {"group-balance"}


def test_normalisation_statistics() -> None:
    found = walked(HEAD + "n = LayerNormalization(r, s) y = Gemm(n, w2)", ROWS, **DENSE, s=noise(4))
    assert reasons(found) == {"normalisation-statistics"}


def test_unsupported_operator() -> None:
    found = walked(HEAD + "c = Asinh(r) y = Gemm(c, w2)", ROWS, **DENSE)
    assert reasons(found) == {"unsupported-operator"}
    assert [(o.op, o.nodes) for o in found.operators_without_rule] == [("Asinh", 1)]


def test_subgraph_capture() -> None:
    body = HEAD + (
        "y = If(flag) <then_branch = t () => (float p) { p = Identity(r) }, "
        "else_branch = e () => (float q) { q = Neg(r) }>"
    )
    found = walked(body, ROWS, **DENSE, flag=np.array(True))
    assert reasons(found) == {"subgraph-capture"}


def test_shape_computed_at_runtime() -> None:
    body = STEM + "g = com.microsoft.QuickGelu(r) s = Shape(g) n = Gather(s, first) z = Unsqueeze(n, front) "
    body += "p = Gather(s, rest) q = Abs(p) c = Concat<axis=0>(z, q) f = Reshape(r, c) m = Mul(f, two) y = Conv(m, w2)"
    found = walked(
        body, IMAGE, **MAPS, first=np.array(0), front=np.array([0]), rest=np.array([1, 2, 3]),
        two=np.array(2, np.float32), w2=noise(3, 4, 1, 1),
    )  # fmt: skip
    assert reasons(found) == {"shape-computed-at-runtime"}


def test_an_explanation_of_a_removable_unit_names_what_it_frees() -> None:
    found = walked(HEAD + "y = Gemm(r, w2)", ROWS, **DENSE)
    lines = found.explain_unit("r", 1)
    assert "It can go." in lines
    assert any("index 1 on axis 1 of w1" in line for line in lines)
    assert any("index 1 on axis 0 of w2" in line for line in lines)


def test_an_explanation_of_a_locked_unit_ends_in_its_reason() -> None:
    found = walked(HEAD + "k = Gemm(x, w1) a = Add(r, k) y = Gemm(a, w2)", ROWS, **DENSE)
    assert "residual-partner-alive" in found.explain_unit("r", 1)[-1]


def test_an_explanation_of_a_live_unit_says_so() -> None:
    assert "not dead" in walked(HEAD + "y = Gemm(r, w2)", ROWS, **DENSE).explain_unit("r", 0)[0]


def test_an_explanation_of_a_parameter_names_the_dead_unit() -> None:
    found = walked(HEAD + "y = Gemm(r, w2)", ROWS, **DENSE)
    assert any("same index of r, a dead unit" in line for line in found.explain_parameter("w2"))
    kept = walked(HEAD + "y = Gemm(r, w2)", ROWS, **{**DENSE, "b1": bias(4)})
    assert "Nothing" in kept.explain_parameter("w2")[0]


@pytest.mark.parametrize(("value", "index"), [("nothing", 0), ("r", 99)])
def test_an_explanation_of_what_is_not_there_is_refused(value: str, index: int) -> None:
    with pytest.raises(InputError):
        walked(HEAD + "y = Gemm(r, w2)", ROWS, **DENSE).explain_unit(value, index)


def test_removable_parameters_are_counted_by_tensor() -> None:
    found = walked(HEAD + "y = Gemm(r, w2)", ROWS, **DENSE)
    assert {t.name: (t.shape, t.kept) for t in found.removable.tensors} == {
        "w1": ((3, 4), (3, 3)),
        "b1": ((4,), (3,)),
        "w2": ((4, 2), (3, 2)),
    }
    assert found.parameters == 3 * 4 + 4 + 4 * 2
    assert found.removable.parameters == 3 + 1 + 2
    assert found.multiply_adds == 3 * 4 + 4 * 2
    assert found.removable.multiply_adds == 3 + 2
