"""Values whose rows are steps times samples: what holds for all of them goes, what holds for one step stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.equivalence.agree import pruned_and_checked, run, same
from tests.models import Array, parse

STEPS, UNITS = 4, 6
DEAD = {0.0: (1, 4), 0.6: (2,)}  # units that are these constants at every step


def random_rows(seed: int, *, free: bool) -> onnx.ModelProto:
    """Steps and units of [samples, steps, units] are scaled and shifted, then read as [steps * samples, units]."""
    rng = np.random.default_rng(seed)
    steps = 1 if free else STEPS
    scale = rng.normal(size=(steps, 1, UNITS)) * (rng.random((steps, 1, UNITS)) < 0.7)
    shift = np.where(rng.random((steps, 1, UNITS)) < 0.5, 0.6, 0.0)  # some units are constant at some steps alone
    for value, units in DEAD.items():
        scale[..., units], shift[..., units] = 0, value
    living = [unit for unit in range(UNITS) if all(unit not in units for units in DEAD.values())]
    scale[-1, 0, living] = 1
    between = rng.permutation(["v = Relu(f)", "v = Add(f, f)", "v = Mul(f, twos)", "v = Gather<axis=1>(f, turned)"])
    stored: dict[str, Array] = {
        "scale": scale.astype(np.float32),
        "shift": shift.astype(np.float32),
        "twos": np.full(UNITS, 2, np.float32),
        "turned": rng.permutation(UNITS),
        "w": rng.normal(size=(3, UNITS)).astype(np.float32),
        "u": rng.normal(size=(UNITS, 5)).astype(np.float32),
        "flat": np.array([-1, UNITS]),
        "zero": np.array([0]),
        "two": np.array([2]),
        "five": np.array([5]),
    }
    body = f"""h = MatMul(x, w) t = Transpose<perm=[1,0,2]>(h) a = Mul(t, scale) b = Add(a, shift)
    f = Reshape(b, flat) {between[0]} g = Gemm(v, u) s = Shape(t) o = Slice(s, zero, two) p = Concat<axis=0>(o, five)
    c = Reshape(g, p) y = Transpose<perm=[1,0,2]>(c)"""
    return parse(f"g (float[N,{'T' if free else STEPS},3] x) => (float[A,B,C] y) {{ {body} }}", stored, 18)


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_units_that_are_constant_at_every_step_go_and_no_others(seed: int, free: bool, tmp_path: Path) -> None:
    model = random_rows(seed, free=free)
    x = np.random.default_rng(seed).standard_normal((6, STEPS, 3)).astype(np.float32)
    result = pruned_and_checked(model, {"x": x}, tmp_path)
    living = UNITS - sum(len(units) for units in DEAD.values())
    small = onnx.load_from_string(result.data)
    assert [t.dims[0] for t in small.graph.initializer if list(t.dims)[1:] == [5]] == [living]
    for samples, steps in ((1, STEPS), (3, STEPS), *(((1, 1), (3, 7)) if free else ())):
        feeds = {"x": np.random.default_rng(seed + 1).standard_normal((samples, steps, 3)).astype(np.float32)}
        same(run(model, feeds), run(small, feeds))
