"""Which values are audited, by which rule, along which axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzer.facts.units import AuditedValue, Kind
from analyzer.runtime.loading import load_model
from analyzer.units import select_units
from tests.audits import audited, table_of
from tests.models import Array, parse

IMAGE = np.zeros((3, 2, 4, 4), np.float32)
ROWS = np.zeros((3, 4), np.float32)
NUMBERS = {
    "zero": 0.0, "one": 1.0, "half": 0.5, "three": 3.0, "six": 6.0, "sixth": 1 / 6, "root": 2**0.5,
    "inverse": 2**-0.5, "minus": -1.0, "slope": 0.2, "cube": 0.044715, "scale": 0.7978845608, "exponent": 3.0,
}  # fmt: skip


def select(body: str, x: Array = ROWS, opset: int = 20, **stored: Array) -> tuple[AuditedValue, ...]:
    """Audited values of a body from `x` to `y`."""
    weights = {
        n: np.array(v, np.float32)
        for n, v in NUMBERS.items()
        if n in body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    }
    dims = ", ".join(["N", *map(str, x.shape[1:])])
    model = parse(f"g (float[{dims}] x) => (float y) {{ {body} }}", {**weights, **stored}, opset)
    return select_units(load_model(model).graph, table_of(model, {"x": x}))


def only(body: str, x: Array = ROWS, opset: int = 20, **stored: Array) -> AuditedValue:
    (found,) = select(body, x, opset, **stored)
    return found


WEIGHT: dict[str, Any] = {"w": np.ones((4, 5), np.float32)}


@pytest.mark.parametrize(
    ("body", "op"),
    [
        ("h = Gemm(x, w) s = Sigmoid(h) y = Mul(h, s)", "SiLU"),
        ("h = Gemm(x, w) s = Sigmoid(h) y = Mul(s, h)", "SiLU"),
        ("h = Gemm(x, w) s = HardSigmoid<alpha=0.16666667>(h) y = Mul(h, s)", "HardSwish"),
        ("h = Gemm(x, w) p = Softplus(h) t = Tanh(p) y = Mul(h, t)", "Mish"),
        ("h = Gemm(x, w) a = Add(h, three) c = Clip(a, zero, six) m = Mul(h, c) y = Div(m, six)", "HardSwish"),
        ("h = Gemm(x, w) a = Add(h, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(h, d)", "HardSwish"),
        ("h = Gemm(x, w) a = Add(three, h) c = Clip(a, zero, six) d = Mul(c, sixth) y = Mul(d, h)", "HardSwish"),
        (
            "h = Gemm(x, w) d = Div(h, root) e = Erf(d) a = Add(e, one) m = Mul(h, a) y = Mul(m, half)",
            "Gelu",
        ),
        (
            "h = Gemm(x, w) d = Mul(h, inverse) e = Erf(d) a = Add(e, one) m = Mul(a, half) y = Mul(h, m)",
            "Gelu",
        ),
        ("h = Gemm(x, w) d = Div(h, root) e = Erf(d) a = Add(e, one) b = Mul(h, half) y = Mul(b, a)", "Gelu"),
        (
            "h = Gemm(x, w) c = Pow(h, exponent) k = Mul(c, cube) i = Add(h, k) j = Mul(i, scale) t = Tanh(j) "
            "a = Add(t, one) b = Mul(h, half) y = Mul(b, a)",
            "Gelu",
        ),
        ("h = Gemm(x, w) p = Relu(h) n = Neg(h) q = Relu(n) s = Mul(q, slope) y = Sub(p, s)", "LeakyRelu"),
        ("h = Gemm(x, w) s = Mul(h, slope) y = Max(h, s)", "LeakyRelu"),
    ],
)
def test_a_decomposed_activation_is_one_smooth_activation(body: str, op: str) -> None:
    found = only(body, **WEIGHT)
    assert (found.value, found.kind, found.units, found.axis) == ("y", Kind.SMOOTH, 5, 1)
    assert found.op.startswith(op)


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("h = Gemm(x, w) y = Relu(h)", 0.0, None),
        ("h = Gemm(x, w) y = Clip(h, zero, six)", 0.0, 6.0),
        ("h = Gemm(x, w) y = Clip(h)", None, None),
        ("h = Gemm(x, w) y = HardSigmoid(h)", 0.0, 1.0),
        ("h = Gemm(x, w) y = Max(h, zero)", 0.0, None),
        ("h = Gemm(x, w) y = Max(zero, h)", 0.0, None),
        ("h = Gemm(x, w) y = Min(h, six)", None, 6.0),
        ("h = Gemm(x, w) a = Add(h, three) c = Clip(a, zero, six) y = Div(c, six)", 0.0, 1.0),
        ("h = Gemm(x, w) g = Greater(h, zero) y = Where(g, h, zero)", 0.0, None),
    ],
)
def test_a_rectifier_says_where_it_is_flat(body: str, low: float | None, high: float | None) -> None:
    found = only(body, **WEIGHT)
    assert (found.value, found.kind, found.low, found.high) == ("y", Kind.RECTIFIER, low, high)


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("h = Gemm(x, w) y = ThresholdedRelu<alpha=0.5>(h)", 0.0, None),
        ("h = Gemm(x, w) y = ThresholdedRelu<alpha=-1.0>(h)", None, None),
        ("h = Gemm(x, w) g = Greater(h, one) y = Where(g, h, zero)", 0.0, None),
        ("h = Gemm(x, w) g = Greater(h, minus) y = Where(g, h, zero)", None, None),
        ("h = Gemm(x, w) g = GreaterOrEqual(zero, h) y = Where(g, zero, h)", 0.0, None),
        ("h = Gemm(x, w) g = LessOrEqual(h, minus) y = Where(g, zero, h)", None, None),
        ("h = Gemm(x, w) g = Less(h, six) y = Where(g, h, six)", None, 6.0),
        ("h = Gemm(x, w) g = Less(h, zero) n = Not(g) y = Where(n, h, zero)", 0.0, None),
        ("h = Gemm(x, w) s = Neg(h) g = Greater(s, zero) y = Where(g, h, zero)", None, None),
    ],
)
def test_only_a_true_lower_bound_is_a_floor(body: str, low: float | None, high: float | None) -> None:
    """A unit that varies below a supposed floor would pass for one that stays on it."""
    found = only(body, **WEIGHT)
    assert (found.value, found.kind, found.low, found.high) == ("y", Kind.RECTIFIER, low, high)


def test_a_clip_with_other_bounds_than_a_hard_sigmoid_is_a_clip() -> None:
    found = only("h = Gemm(x, w) a = Add(h, three) c = Clip(a, minus, six) y = Div(c, six)", **WEIGHT)
    assert (found.value, found.op, found.low, found.high) == ("c", "Clip", -1.0, 6.0)


def test_saturating_activations_name_their_asymptotes() -> None:
    found = select("h = Gemm(x, w) s = Sigmoid(h) t = Tanh(s) y = Softsign(t)", **WEIGHT)
    assert [(a.op, a.kind, a.low, a.high) for a in found] == [
        ("Sigmoid", Kind.SATURATING, 0.0, 1.0),
        ("Tanh", Kind.SATURATING, -1.0, 1.0),
        ("Softsign", Kind.SATURATING, -1.0, 1.0),
    ]


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_a_fused_activation_with_a_bias_is_smooth(op: str) -> None:
    found = only(f"h = Gemm(x, w) y = com.microsoft.{op}(h, b)", b=np.zeros(5, np.float32), **WEIGHT)
    assert (found.op, found.kind, found.units) == (op, Kind.SMOOTH, 5)


def test_a_fused_convolution_is_audited_by_its_activation() -> None:
    w = np.ones((3, 2, 1, 1), np.float32)
    found = only('y = com.microsoft.FusedConv<activation = "Relu">(x, w)', IMAGE, w=w)
    assert (found.op, found.kind, found.low, found.axis, found.units) == ("FusedConv+Relu", Kind.RECTIFIER, 0.0, 1, 3)


def test_a_convolution_that_feeds_no_activation_is_linear() -> None:
    found = only("y = Conv(x, w)", IMAGE, w=np.ones((3, 2, 1, 1), np.float32))
    assert (found.value, found.kind, found.axis, found.units) == ("y", Kind.LINEAR, 1, 3)


def test_channels_last_maps_have_their_units_last() -> None:
    """Frameworks that lay channels last transpose around every convolution."""
    x = np.zeros((3, 4, 4, 2), np.float32)
    body = "t = Transpose<perm=[0,3,1,2]>(x) c = Conv(t, w) u = Transpose<perm=[0,2,3,1]>(c) y = Relu(u)"
    found = only(body, x, w=np.ones((5, 2, 1, 1), np.float32))
    assert (found.value, found.axis, found.units, found.rank) == ("y", 3, 5, 4)


def test_units_of_a_transformer_block_lie_along_features() -> None:
    x = np.zeros((3, 7, 4), np.float32)
    found = only("h = MatMul(x, w) y = Relu(h)", x, **WEIGHT)
    assert (found.axis, found.units) == (2, 5)


def test_channels_are_found_again_behind_a_channel_shuffle() -> None:
    x = np.zeros((2, 4, 3, 3), np.float32)
    body = (
        "c = Conv(x, w) r = Reshape(c, apart) t = Transpose<perm=[0,2,1,3,4]>(r) f = Reshape(t, together) y = Relu(f)"
    )
    found = only(
        body,
        x,
        w=np.ones((6, 4, 1, 1), np.float32),
        apart=np.array([-1, 2, 3, 3, 3]),
        together=np.array([-1, 6, 3, 3]),
    )
    assert (found.axis, found.units) == (1, 6)


HEADS: dict[str, Any] = {"w": np.ones((3, 4, 5), np.float32), "d": np.ones((4, 3, 5), np.float32)}
STEPS = np.zeros((3, 7, 4), np.float32)


@pytest.mark.parametrize(
    "after",
    ["", 'z = Einsum<equation="bthf,hfe->bte">(y, e)', 'z = Einsum<equation="bthf,hfe->bthe">(y, e)',
     'z = Einsum<equation="bthf,hg->btgf">(y, g)', "z = Reshape(y, flat) o = MatMul(z, m)"],
)  # fmt: skip
@pytest.mark.parametrize("made", ["btd,hdf->bthf>(x, w)", "btd,dhf->bthf>(x, d)"])
def test_units_of_heads_lie_within_a_head(made: str, after: str) -> None:
    """Also where what follows sums over heads as well."""
    equation, operands = made.split(">(")
    stored: dict[str, Any] = {"e": np.ones((3, 5, 2), np.float32), "g": np.ones((3, 3), np.float32),
              "m": np.ones((15, 2), np.float32), "flat": np.array([0, 0, 15])}  # fmt: skip
    body = f'h = Einsum<equation="{equation}">({operands} y = Relu(h) {after}'
    found = select(body, STEPS, **HEADS, **stored)[0]
    assert (found.value, found.op, found.axis, found.units) == ("y", "Relu", 3, 5)


def test_units_of_heads_without_steps_lie_within_a_head() -> None:
    body = 'h = Einsum<equation="bd,hdf->bhf">(x, w) r = Relu(h) y = Einsum<equation="bhf,hfe->be">(r, e)'
    found = select(body, ROWS, w=HEADS["w"], e=np.ones((3, 5, 2), np.float32))[0]
    assert (found.value, found.axis, found.units) == ("r", 2, 5)


def test_units_that_a_reshape_splits_into_heads_lie_within_a_head() -> None:
    body = 'h = MatMul(x, m) s = Reshape(h, split) r = Relu(s) y = Einsum<equation="bthf,hfe->bte">(r, e)'
    stored: dict[str, Any] = {
        "m": np.ones((4, 15), np.float32),
        "split": np.array([0, 0, 3, 5]),
        "e": np.ones((3, 5, 2), np.float32),
    }
    found = select(body, STEPS, **stored)[0]
    assert (found.value, found.axis, found.units) == ("r", 3, 5)


@pytest.mark.parametrize("made", ["btd,hdf->bthf", "btd,dhf->bthf", "bd,hdf->bhf"])
def test_a_unit_is_dead_where_it_is_dead_in_every_head(made: str) -> None:
    """And not where it is dead in one of them."""
    rng = np.random.default_rng(0)
    left, own, out = made.replace("->", ",").split(",")
    weight = rng.normal(0, 1, (4, 6, 12))  # h, d, f
    weight[:, :, [1, 4, 7, 10]] = 0  # in all heads
    weight[[0, 2], :, [3, 8]] = 0  # pairs
    weight = np.einsum(f"hdf->{own}", weight)
    x = rng.normal(0, 1, [{"b": 40, "t": 5, "d": 6}[axis] for axis in left])
    arrays = {"w": weight.astype(np.float32), "e": rng.normal(0, 1, (4, 12, 3)).astype(np.float32)}
    dims = ", ".join(["N", *map(str, x.shape[1:])])
    body = f'h = Einsum<equation="{made}">(x, w) r = Relu(h) y = Einsum<equation="{out},hfe->{left[:-1]}e">(r, e)'
    found = audited(parse(f"g (float[{dims}] x) => (float y) {{ {body} }}", arrays, 20), {"x": x.astype(np.float32)})
    layer = next(layer for layer in found.layers if layer.value == "r")
    assert (layer.units, tuple(layer.dead)) == (12, (1, 4, 7, 10))
