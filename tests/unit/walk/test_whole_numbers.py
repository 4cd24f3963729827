"""Whole numbers wrap around in the run; nothing is derived beyond their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.walk.flow import constants_forward
from tests.models import context, parse, run

WRAPPING = """
y (float[n, 2] x) => (int32[n, 2] y) {{
  none = Mul(x, zeros)
  much = Add(none, large)
  c = Cast<to={code}>(much)
  z = {op}(c, c)
  y = Cast<to=6>(z)
}}
"""


@pytest.mark.parametrize(("op", "number", "wraps"), [("Add", 90, True), ("Mul", 20, True), ("Add", 60, False)])
def test_a_sum_or_product_that_wraps_around_is_not_derived(op: str, number: float, wraps: bool) -> None:
    stored = {"zeros": np.zeros(2, np.float32), "large": np.full(2, number, np.float32)}
    feeds = {"x": np.ones((1, 2), np.float32)}
    model = parse(WRAPPING.format(code=3, op=op), stored, 14)  # 3: int8
    (shown,) = run(model, feeds).values()
    found = constants_forward(context(model, feeds), {})["z"]
    assert found.any != wraps
    if found.any:
        assert (np.broadcast_to(found.number, shown.shape) == shown).all()


def test_a_sum_of_integers_has_no_carrier_for_multiples_of_one_map() -> None:
    """Padded with zeros, constant channels are multiples of one map; whole weights cannot be scaled exactly."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 2, 1, 1)).astype(np.float32)
    kernel[1:3] = 0
    stored: dict[str, Any] = {
        "k": kernel,
        "b": np.array([0.1, 0.5, 0.7, 0.2], np.float32),
        "s": np.array(0.1, np.float32),
        "o": np.array(0, np.uint8),
        "pads": np.array([0, 0, 1, 1] * 2),
        "w": rng.integers(-9, 9, (3, 4, 3, 3)).astype(np.int8),
    }
    model = parse(
        "m (float[n,2,5,5] x) => (int32 z) {"
        " c = Conv(x, k, b) r = Relu(c) q = QuantizeLinear(r, s, o) p = Pad(q, pads) z = ConvInteger(p, w) }",
        stored,
    )
    pruned = analyzer.prune(model, {"x": rng.random((20, 2, 5, 5)).astype(np.float32)}, latency=False)
    assert not pruned.changed
