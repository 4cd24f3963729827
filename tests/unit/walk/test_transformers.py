"""Feed-forward and attention blocks: units behind MatMuls, heads behind Reshape, rows folded into samples."""

from __future__ import annotations

import numpy as np

from tests.audits import Pruned, pruned
from tests.models import Array, parse

EXACT = 1e-4
HEADS, WIDTH, TIME, MODEL = 2, 3, 4, 5


def noise(*shape: int) -> Array:
    return np.random.default_rng(11).normal(0, 1, shape).astype(np.float32)


def low(units: int, *dead: int) -> Array:
    bias = np.full(units, 0.5, np.float32)
    bias[list(dead)] = -1e4
    return bias


def cut(body: str, x: Array, **stored: Array) -> Pruned:
    dims = ", ".join(["N", *map(str, x.shape[1:])])
    return pruned(parse(f"g (float[{dims}] x) => (float y) {{ {body} }}", stored), {"x": x})


def test_dead_features_of_a_feed_forward_block_go() -> None:
    found = cut(
        "m = MatMul(x, w1) h = Add(m, b1) r = Relu(h) k = MatMul(r, w2) p = Add(k, b2) y = Add(x, p)",
        noise(6, TIME, MODEL),
        w1=noise(MODEL, 8), b1=low(8, 2, 5, 6), w2=noise(8, MODEL), b2=noise(MODEL),
    )  # fmt: skip
    assert found.shape("w1") == (MODEL, 5)
    assert found.shape("w2") == (5, MODEL)
    assert found.difference < EXACT


def test_rows_folded_into_the_sample_axis_pass_the_cut_on() -> None:
    found = cut(
        "f = Reshape(x, flat) h = Gemm(f, w1, b1) r = Relu(h) k = Gemm(r, w2) y = Reshape(k, wide)",
        noise(6, TIME, MODEL),
        w1=noise(MODEL, 8), b1=low(8, 1, 7), w2=noise(8, 3), flat=np.array([-1, MODEL]), wide=np.array([-1, TIME, 3]),
    )  # fmt: skip
    assert found.shape("w1") == (MODEL, 6)
    assert found.shape("w2") == (6, 3)
    assert found.difference < EXACT


def attention(dead: tuple[int, ...], **changed: Array) -> Pruned:
    """Values behind a ReLU; units are numbered head by head."""
    inner = HEADS * WIDTH
    stored = {
        "wq": noise(MODEL, inner), "wk": noise(MODEL, inner)[::-1].copy(), "wv": noise(MODEL, inner) + 1,
        "bv": low(inner, *dead), "wo": noise(inner, MODEL), "apart": np.array([0, 0, HEADS, WIDTH]),
        "together": np.array([0, 0, -1]),
    }  # fmt: skip
    body = """
        q0 = MatMul(x, wq) q1 = Reshape(q0, apart) q = Transpose<perm=[0,2,1,3]>(q1)
        k0 = MatMul(x, wk) k1 = Reshape(k0, apart) k = Transpose<perm=[0,2,3,1]>(k1)
        v0 = MatMul(x, wv) v1 = Add(v0, bv) v2 = Relu(v1) v3 = Reshape(v2, apart) v = Transpose<perm=[0,2,1,3]>(v3)
        s = MatMul(q, k) p = Softmax<axis=-1>(s) a = MatMul(p, v) t = Transpose<perm=[0,2,1,3]>(a)
        c = Reshape(t, together) y = MatMul(c, wo)
    """
    return cut(body, noise(6, TIME, MODEL), **{**stored, **changed})


def test_a_feature_that_is_dead_in_every_head_goes() -> None:
    found = attention((1, WIDTH + 1))
    assert found.shape("wv") == (MODEL, HEADS * (WIDTH - 1))
    assert found.shape("wo") == (HEADS * (WIDTH - 1), MODEL)
    assert found.difference < EXACT


def test_a_feature_that_is_dead_in_one_head_stays_for_the_other() -> None:
    found = attention((1,))
    assert found.shape("wo") == (HEADS * WIDTH, MODEL)
    assert found.reasons("v2")
    assert found.difference < EXACT


def test_a_whole_dead_head_is_exact() -> None:
    assert attention(tuple(range(WIDTH))).difference < EXACT


def test_a_query_feature_that_is_zero_in_every_head_goes_with_its_key() -> None:
    wq = noise(MODEL, HEADS * WIDTH)
    wq[:, [0, WIDTH]] = 0
    found = attention((), wq=wq)
    assert found.shape("wq") == found.shape("wk") == (MODEL, HEADS * (WIDTH - 1))
    assert found.difference < EXACT


def test_units_of_an_mlp_whose_samples_are_columns_go() -> None:
    """W @ x + b, as some exporters write it: the weight is the left operand."""
    found = cut(
        "t = Transpose<perm=[1,0]>(x) m = MatMul(w1, t) h = Add(m, b1) r = Relu(h) k = MatMul(w2, r) "
        "y = Transpose<perm=[1,0]>(k)",
        noise(6, MODEL),
        w1=noise(8, MODEL), b1=low(8, 0, 4)[:, None], w2=noise(3, 8),
    )  # fmt: skip
    assert found.shape("w1") == (6, MODEL)
    assert found.shape("w2") == (3, 6)
    assert found.difference < EXACT


def test_a_constant_absorbed_from_the_right_of_a_stored_weight() -> None:
    w1 = noise(8, MODEL)
    w1[3] = 0
    found = cut(
        "t = Transpose<perm=[1,0]>(x) m = MatMul(w1, t) h = Add(m, b1) r = Relu(h) k = MatMul(w2, r) "
        "y = Transpose<perm=[1,0]>(k)",
        noise(6, MODEL),
        w1=w1, b1=np.full((8, 1), 9, np.float32), w2=noise(3, 8),
    )  # fmt: skip
    assert found.shape("w2") == (3, 7)
    assert found.difference < EXACT
