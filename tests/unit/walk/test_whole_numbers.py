"""Whole numbers wrap around in the run; nothing is derived beyond their limits."""

from __future__ import annotations

import numpy as np
import pytest

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
