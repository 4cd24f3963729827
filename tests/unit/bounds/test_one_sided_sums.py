"""Sums of products of one sign stay on their side of the bias, however large the products are."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.bounds.test_intervals import bounds, box

SUMS = {
    "Gemm": "h = Gemm(z, W, b)",
    "MatMul": "h = MatMul(z, W)",
    "Conv": "h = Conv <pads = [1, 1, 1, 1], strides = [2, 1]> (z, W, b)",
    "of single channels": "h = Conv <group = 4> (z, W, b)",
    "ConvTranspose": "h = ConvTranspose(z, W, b)",
}
SHAPES = {"Gemm": (50, 4), "MatMul": (50, 4), "Conv": (4, 3, 3, 3), "of single channels": (4, 1, 3, 3)}


@pytest.mark.parametrize("kind", SUMS)
@pytest.mark.parametrize("before", ["Relu(x)", "Clip(x, least, zero)"])
def test_what_is_added_of_one_sign_is_not_rounded_beyond_the_bias(kind: str, before: str) -> None:
    random, pictures = np.random.default_rng(0), kind not in ("Gemm", "MatMul")
    weight = np.abs(random.normal(0, 1, SHAPES.get(kind, (3, 4, 3, 3)))).astype(np.float32)
    units = weight if kind in SHAPES and pictures else np.moveaxis(weight, 1, 0)  # of this array the first axis
    units[0] *= -1
    units[2, ..., 0] *= -1  # of both signs
    units[3] *= np.arange(units[3].size).reshape(units[3].shape) % 2  # some are 0
    channels = 4 if kind == "of single channels" else 3
    shape = [1, channels, 6, 6] if pictures else [1, 50]
    biases = np.array([-0.01, 0.02, -0.01, 0], np.float32) if kind != "MatMul" else np.zeros(4, np.float32)
    rest = ", ".join("N" * len(shape))
    text = f"g (float{shape} x) => (float[{rest}] h) {{ z = {before} {SUMS[kind]} }}"
    stored = {"W": weight, "b": biases, "least": np.array(-1e9, np.float32), "zero": np.array(0, np.float32)}
    h = bounds(text, {"x": box(-1e9, 1e9, *shape)}, stored, tried=50)["h"]
    low, high = (np.moveaxis(end, 1, 0).reshape(4, -1) for end in (h.low, h.high))
    falls, rises = (0, 1) if before == "Relu(x)" else (1, 0)
    assert high[falls].max() == pytest.approx(biases[falls], rel=1e-5) and low[falls].min() < -1e8
    assert low[rises].min() == pytest.approx(biases[rises], rel=1e-5) and high[rises].max() > 1e8
    assert low[2].min() < -1e8 and high[2].max() > 1e8
    zero = low[3].min() if before == "Relu(x)" else high[3].max()
    assert zero == 0  # nothing is added to it


def test_sums_of_one_sign_keep_their_side_in_any_order() -> None:
    random = np.random.default_rng(1)
    terms = -np.abs(random.normal(0, 1, (200, 400)) * 10.0 ** random.integers(-8, 8, (200, 400))).astype(np.float32)
    bias = np.float32(-0.00842)
    for row in terms:
        order = random.permutation(np.append(row, bias))
        halves = np.cumsum(order[:200], dtype=np.float32)[-1] + np.cumsum(order[200:], dtype=np.float32)[-1]
        assert max(np.cumsum(order, dtype=np.float32)[-1], halves, np.sum(order, dtype=np.float32)) <= bias
