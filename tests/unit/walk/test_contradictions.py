"""What the run contradicts is withdrawn with what follows from it, reported, and the audit goes on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from tests.models import Array, parse, run

RNG = np.random.default_rng(3)


def weights(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def withdrawn(model: onnx.ModelProto, probe: Array) -> list[str]:
    """The values of which something was withdrawn; a pruned model agrees all the same."""
    audit = analyzer.audit(model, {"x": probe})
    small = onnx.ModelProto.FromString(audit.prune(latency=False).data)
    for one, two in zip(run(model, {"x": probe}).values(), run(small, {"x": probe}).values(), strict=True):
        finite = np.isfinite(one)
        assert np.array_equal(finite, np.isfinite(two))
        np.testing.assert_allclose(two[finite], one[finite], rtol=0, atol=1e-4 * np.abs(one[finite]).max(initial=1e-6))
    return [warning.value for warning in audit.warnings if warning.name == "derivation-withdrawn"]


@pytest.mark.parametrize("root", ["Sqrt", "Log"])
@pytest.mark.parametrize("clip", ["Relu", "ThresholdedRelu", "Sign"])
def test_a_zero_times_what_is_not_a_number(root: str, clip: str) -> None:
    """Sqrt and Log give NaN on some inputs, and an activation makes a number of that."""
    model = parse(
        f"""g (float[n, 6] x) => (float[n, 2] y) {{
            r = {root}(x)
            s = Mul(r, scale)
            h = Add(s, shift)
            q = Identity(h)
            a = {clip}(q)
            y = MatMul(a, v)
        }}""",
        {
            "scale": np.array([0, 0, 0, 1, 1, 1], np.float32),
            "shift": np.array([2, -1, 0.5, 1, -1, 0], np.float32),
            "v": weights(6, 2),
        },
    )
    probe = np.abs(weights(40, 6)) + 0.1
    assert withdrawn(model, probe) == []
    probe[3:9] *= -1
    assert set(withdrawn(model, probe)) <= {"a", "h"}


@pytest.mark.parametrize("smooth", ["Tanh", "Sigmoid"])
@pytest.mark.parametrize("amplify", ["Mul", "Gemm"])
def test_last_digits_that_are_amplified(smooth: str, amplify: str) -> None:
    far = {"Tanh": 8.2, "Sigmoid": 16.0}[smooth]
    step = "e = Mul(d, big)" if amplify == "Mul" else "e = MatMul(d, bigs)"
    model = parse(
        f"""g (float[n, 4] x) => (float[n, 3] y, float[n, 4] z) {{
            a = {smooth}(x)
            d = Sub(a, one)
            {step}
            y = MatMul(e, v)
            z = Mul(e, e)
        }}""",
        {
            "one": np.array(1, np.float32),
            "big": np.array(1e7, np.float32),
            "bigs": np.diag(np.full(4, 1e7)).astype(np.float32),
            "v": np.abs(weights(4, 3)) + 1,
        },
    )
    probe = (far + 0.3 * RNG.random((60, 4))).astype(np.float32)
    moving = {name for name, array in run(model, {"x": probe}).items() if np.ptp(array, axis=0).max() > 0.1}
    assert moving == {"y", "z"}
    withdrawn(model, probe)
    audit = analyzer.audit(model, {"x": probe})
    assert not any(warning.name == "output-constant" for warning in audit.warnings)


def test_what_a_contradiction_does_not_touch_is_still_derived() -> None:
    model = parse(
        """g (float[n, 6] x) => (float[n, 2] y) {
            r = Sqrt(x)
            s = Mul(r, scale)
            h = Add(s, shift)
            a = Relu(h)
            b0 = Mul(x, scale)
            b = Add(b0, shift)
            c = Relu(b)
            d = Concat<axis = 1>(a, c)
            y = MatMul(d, v)
        }""",
        {
            "scale": np.array([0, 0, 0, 1, 1, 1], np.float32),
            "shift": np.array([2, -1, 0.5, 1, -1, 0], np.float32),
            "v": weights(12, 2),
        },
    )
    probe = np.abs(weights(40, 6)) + 0.1
    probe[3:9] *= -1
    layers = {layer.value: layer for layer in analyzer.audit(model, {"x": probe}).layers}
    assert layers["c"].structural == (0, 1, 2)
