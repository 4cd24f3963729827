"""Constants derived in double precision that go through operators that jump: nothing is claimed that rounding decides.

Dead units that stay at constants are summed, and the sum is brought to the very place where the operator jumps: a half,
a whole number, another constant, 0.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import InputError
from analyzer.rewrite.bisect import moving_values
from tests.models import Array, parse, run

JUMPS = {
    "Round": "s = Round(q2)",
    "Floor": "s = Floor(q2)",
    "Ceil": "s = Ceil(q2)",
    "Equal": "b = Equal(q2, t) s = Cast<to = F>(b)",
    "Not Equal": "b = Equal(q2, t) o = Not(b) s = Cast<to = F>(o)",
    "Less": "b = Less(q2, t) s = Cast<to = F>(b)",
    "LessOrEqual": "b = LessOrEqual(q2, t) s = Cast<to = F>(b)",
    "Greater": "b = Greater(q2, t) s = Cast<to = F>(b)",
    "Cast to int64": "b = Cast<to = 7>(q2) s = Cast<to = F>(b)",
    "Cast to bool": "d = Sub(q2, t) b = Cast<to = 9>(d) s = Cast<to = F>(b)",
    "Where": "b = Less(q2, t) s = Where(b, t, am)",
    "Sign": "d = Sub(q2, t) s = Sign(d)",
    "ThresholdedRelu": "s = ThresholdedRelu<alpha = 0.5>(q2)",
    "Shrink": "s = Shrink<lambd = 0.5>(q2)",
    "Relu": "d = Sub(q2, t) r = Relu(d) s = Sign(r)",
    "Max": "d = Sub(q2, t) m = Max(d, zero) b = Cast<to = 9>(m) s = Cast<to = F>(b)",
}
BEFORE = {
    "Mul": "q2 = Mul(q, c)",
    "Div": "q1 = Div(q, c) q2 = Mul(q1, t)",
    "Exp": "q1 = Exp(q) q2 = Mul(q1, c)",
    "Sigmoid": "q1 = Sigmoid(q) q2 = Div(q1, c)",
    "Sqrt": "q0 = Abs(q) q1 = Sqrt(q0) q2 = Mul(q1, c)",
    "half": "q0 = Cast<to = 10>(q) q1 = Cast<to = F>(q0) q2 = Div(q1, c)",
}
TYPES = {"float32": ("float", 1), "float16": ("float16", 10), "float64": ("double", 11)}


def made(jump: str, before: str, dtype: str, seed: int) -> tuple[onnx.ModelProto, Array]:
    """A model in which three dead units decide on which side of a jump a constant lies, and data for it."""
    rng = np.random.default_rng(seed)
    w, b, sums = rng.normal(size=(6, 8)), rng.normal(size=8), np.zeros((8, 1))
    w[:, :3], b[:3] = 0, rng.choice([0.1, 0.3, 0.7, 1.1, 2.3], 3)
    sums[:3, 0] = rng.choice([0.1, 0.3, -0.7, 1.3], 3)
    q = float(b[:3].astype(dtype).astype(np.float64) @ sums[:3, 0].astype(dtype).astype(np.float64))
    goal = rng.choice([0.5, 1.0, 1.5, 2.5, 3.0])
    scale = {
        "Mul": goal / q,
        "Div": q,
        "Exp": goal / np.exp(q),
        "Sigmoid": 1 / (1 + np.exp(-q)) / goal,
        "Sqrt": goal / np.sqrt(abs(q)),
        "half": q / goal,
    }[before]
    stored = {"w": w, "bias": b, "sums": sums, "c": scale, "t": goal, "am": 3, "zero": 0, "v": rng.normal(size=(8, 4))}
    name, code = TYPES[dtype]
    body = f"a0 = MatMul(x, w) a1 = Add(a0, bias) a = Relu(a1) q = MatMul(a, sums) {BEFORE[before]} {JUMPS[jump]}"
    text = f"g ({name}[n, 6] x) => ({name}[n, 4] y) {{ {body} e = Mul(s, am) f = Add(e, a) y = MatMul(f, v) }}"
    arrays = {n: np.asarray(array, dtype) for n, array in stored.items()}
    return parse(text.replace("F>", f"{code}>"), arrays), rng.normal(size=(16, 6)).astype(dtype)


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("seed", range(3))
def test_no_constant_is_claimed_that_the_run_contradicts(jump: str, seed: int) -> None:
    rng = np.random.default_rng(100 * seed + len(jump))
    before, dtype = rng.choice([*BEFORE]), rng.choice([*TYPES])
    model, x = made(jump, before, dtype, 100 * seed + len(jump))
    for data in ({"x": x}, None):
        audit = analyzer.audit(model, data)
        assert audit._source is not None
        derived = {n: f for n, f in audit._walk.facts.items() if f.any and n in audit._walk.context.graph.producer}
        jumped = {n: f for n, f in derived.items() if n in "bos"}
        assert not moving_values(audit._source.loaded, jumped, [({"x": x}, 16)])
        try:
            pruned = audit.prune(latency=False)
        except InputError as error:
            assert dtype == "float16"  # calculated in float32 where nobody looks in between
            assert "makes much of rounding" in str(error)
            continue
        assert not any("contradicts" in note for note in pruned.facts.notes)
        one, two = (run(m, {"x": x})["y"] for m in (model, onnx.ModelProto.FromString(pruned.data)))
        scale = float(np.abs(one.astype(np.float64)).max())
        allowed = {"float16": 2e-2, "float32": 5e-5, "float64": 1e-9}[dtype]
        np.testing.assert_allclose(two.astype(np.float64), one.astype(np.float64), rtol=0, atol=allowed * scale)
