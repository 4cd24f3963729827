"""What the walk says about a model's own inputs and outputs."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.walk.interface import feature_axes
from tests.audits import audited
from tests.models import Array, context, parse

RNG = np.random.default_rng(0)


def dense(rows: int, columns: int) -> Array:
    return RNG.normal(size=(rows, columns)).astype(np.float32)


def feed(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


TWO_LAYERS = """m (float[n,4] x) => (float[n,3] y) {
  h = Gemm (x, A, a)
  r = Relu (h)
  y = Gemm (r, B, b)
}"""


def stored(**changes: Array) -> dict[str, Array]:
    made: dict[str, Array] = {
        "A": dense(4, 5),
        "a": np.zeros(5, np.float32),
        "B": dense(5, 3),
        "b": np.zeros(3, np.float32),
    }
    return made | changes


def test_a_sound_model_uses_all_its_inputs_and_moves_all_its_outputs() -> None:
    found = audited(parse(TWO_LAYERS, stored()), {"x": feed(64, 4)})
    assert found.unused_inputs == ()
    assert found.constant_outputs == ()


def test_a_feature_whose_weights_are_zero_reaches_nothing_whatever_the_data() -> None:
    weights = dense(4, 5)
    weights[2] = 0
    (port,) = audited(parse(TWO_LAYERS, stored(A=weights)), {"x": feed(64, 4)}).unused_inputs
    assert (port.name, port.axis, port.indices, port.unused, port.elements) == ("x", 1, (2,), 1, 4)
    assert port.structural and not port.whole


def test_a_feature_that_only_dead_units_read_is_unused_while_they_stay_dead() -> None:
    weights = dense(4, 5)
    weights[3] = 0
    weights[3, 1] = 1.0
    bias = np.array([0, -1e3, 0, 0, 0], np.float32)
    (port,) = audited(parse(TWO_LAYERS, stored(A=weights, a=bias)), {"x": feed(64, 4)}).unused_inputs
    assert port.indices == (3,) and not port.structural


def test_an_input_that_nothing_reads_or_that_is_multiplied_by_zero_is_ignored() -> None:
    text = "m (float[n,4] x, float[n,4] z) => (float[n,4] y) { w = Mul (z, Z)\n s = Add (x, w)\n y = Relu (s) }"
    found = audited(parse(text, {"Z": np.zeros(4, np.float32)}), {"x": feed(64, 4), "z": feed(64, 4)})
    (port,) = found.unused_inputs
    assert port.name == "z" and port.whole and port.structural


def test_pixels_that_no_weight_reads_are_counted_one_by_one() -> None:
    text = "m (float[n,2,3] x) => (float[n,2] y) { f = Flatten (x)\n y = MatMul (f, W) }"
    weights = dense(6, 2)
    weights[[1, 5]] = 0
    (port,) = audited(parse(text, {"W": weights}), {"x": feed(64, 2, 3)}).unused_inputs
    assert (port.axis, port.indices, port.unused, port.elements) == (None, (1, 5), 2, 6)


def test_an_output_unit_without_weights_never_changes() -> None:
    weights = dense(5, 3)
    weights[:, 1] = 0
    (port,) = audited(parse(TWO_LAYERS, stored(B=weights)), {"x": feed(64, 4)}).constant_outputs
    assert (port.name, port.axis, port.indices, port.units) == ("y", 1, (1,), 3)
    assert port.structural


def test_the_units_before_a_softmax_are_the_outputs_units() -> None:
    weights = dense(5, 3)
    weights[:, 1] = 0
    text = TWO_LAYERS.replace("y = Gemm (r, B, b)", "g = Gemm (r, B, b)\n y = Softmax (g)")
    (port,) = audited(parse(text, stored(B=weights)), {"x": feed(64, 4)}).constant_outputs
    assert (port.name, port.indices) == ("y", (1,))


def test_an_output_behind_a_dead_layer_is_constant_whatever_follows_the_layer() -> None:
    text = """m (float[n,4,6,6] x) => (float[n,3] y) {
      c = Conv (x, K, k)
      r = Relu (c)
      p = GlobalAveragePool (r)
      f = Flatten (p)
      y = Softmax (f)
    }"""
    weights = {"K": feed(3, 4, 3, 3), "k": np.full(3, -1e4, np.float32)}
    (port,) = audited(parse(text, weights), {"x": feed(64, 4, 6, 6)}).constant_outputs
    assert (port.name, port.axis) == ("y", None)


def test_outputs_that_no_input_leads_to_are_not_told() -> None:
    text = (
        "m (float[n,4] x) => (float[n,4] y, int64[2] s, float[2] k) { y = Relu (x)\n s = Shape (x)\n k = Identity (K) }"
    )
    found = audited(parse(text, {"K": np.ones(2, np.float32)}), {"x": feed(64, 4)})
    assert found.constant_outputs == ()


def test_an_output_made_from_a_shape_alone_is_not_told() -> None:
    text = "m (float[n,4] x) => (float[n,4] y, int64[2] s) { y = Relu (x)\n t = Shape (x)\n s = Mul (t, t) }"
    assert audited(parse(text), {"x": feed(64, 4)}).constant_outputs == ()


def axis(text: str, shape: tuple[int, ...], weights: dict[str, Array]) -> int | None:
    features = feature_axes(context(parse(text, weights), {"x": feed(*shape)}))
    return features["x"].axis if features else None


KERNEL = dense(2, 27).reshape(2, 3, 3, 3)
READS = "h = Conv(c, k) y = Relu(h) }"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("g (float[n, 3, 8, 8] x) => (float[] y) { h = Conv(x, k) y = Relu(h) }", 1),
        ("g (float[n, 8, 8, 3] x) => (float[] y) { c = Transpose<perm = [0, 3, 1, 2]>(x) " + READS, 3),
        ("g (float[n, 3, 8, 8] x) => (float[] y) { d = Sub(x, m) e = Mul(d, s) c = Identity(e) " + READS, 1),
        ("g (float[n, 8, 8, 3] x) => (float[] y) { d = Sub(x, t) c = Transpose<perm = [0, 3, 1, 2]>(d) " + READS, 3),
        ("g (float[n, 3, 8, 8] x) => (float[] y) { c = Relu(x) " + READS, None),  # no product right behind the input
        ("g (float[n, 3, 8, 8] x) => (float[] y) { f = Flatten(x) y = MatMul(f, w) }", None),  # pixels, not channels
        ("g (float[n, 6] x) => (float[] y) { y = MatMul(x, v) }", 1),
        ("g (float[n, 7, 6] x) => (float[] y) { y = MatMul(x, v) }", 2),
    ],
)
def test_features_lie_where_the_first_layer_sums(text: str, expected: int | None) -> None:
    shape = (1, *(int(d) for d in text.split("n, ")[1].split("]")[0].split(", ")))
    weights = {
        "k": KERNEL, "m": dense(1, 3).reshape(1, 3, 1, 1), "s": dense(1, 1), "t": dense(1, 3), "w": dense(192, 4),
        "v": dense(6, 4),
    }  # fmt: skip
    assert axis(text, shape, {n: a for n, a in weights.items() if f", {n})" in text}) == expected


def test_long_chains_before_the_first_layer_end() -> None:
    nodes = " ".join(f"a{i + 1} = Mul(a{i}, s)" for i in range(3000))
    text = f"g (float[n, 6] x) => (float[] y) {{ a0 = Mul(x, s) {nodes} y = MatMul(a3000, v) }}"
    assert axis(text, (1, 6), {"s": dense(1, 1), "v": dense(6, 4)}) is None
