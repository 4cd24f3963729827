"""Where two models part: the first value in the order of the graph, on whichever sample it shows."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.errors import ComparisonFailed, InputError, RunError
from tests.models import Array, parse


def drawn(*shape: int) -> Array:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


def rounding(gate: str) -> onnx.ModelProto:
    """Large constants that cancel in the sum `z`: in another order of summation their last digits show in `y`."""
    w1, b1, w2 = drawn(4, 8), drawn(8), drawn(8, 3)
    w1[:, [1, 3, 5, 6]], b1[[1, 3, 5, 6]] = 0, 3e4
    w2[5], w2[6] = -w2[1] + np.float32(1e-5), -w2[3] + np.float32(1e-5)
    stored: dict[str, Array] = {"w1": w1, "b1": b1, "w2": w2, "k": np.float32(300) * np.ones(1, np.float32)}
    return parse(
        f"""g (float[n,4] x, float[n,1] g) => (float[n,3] y) {{
            h = Gemm(x, w1, b1) a = Relu(h) z = MatMul(a, w2) gz = Mul(z, {gate}) zz = Mul(gz, k) sz = Sin(zz)
            y = Relu(sz)
        }}""",
        stored,
    )


@pytest.fixture
def all_differences_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.api.agreement._rounding_shows", lambda source: 0.0)


def test_a_difference_that_rounding_explains_is_no_bug() -> None:
    with pytest.raises(InputError, match="makes much of rounding"):
        analyzer.prune(rounding("g"), {"x": drawn(60, 4), "g": np.ones((60, 1), np.float32)}, latency=False)


@pytest.mark.usefixtures("all_differences_are_ours")
@pytest.mark.parametrize("silent", [0, 8, 40])
def test_the_first_value_that_differs_is_named_on_whichever_sample_it_shows(silent: int) -> None:
    x, g = drawn(60, 4), np.ones((60, 1), np.float32)
    g[:silent] = 0
    x[:silent] *= 1e5  # of the scale of these samples the difference is nothing
    with pytest.raises(ComparisonFailed, match=r"in y .*first value that differs is z:"):
        analyzer.prune(rounding("g"), {"x": x, "g": g}, latency=False)


def test_without_a_probe_the_value_is_found_on_random_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.rewrite.shrink import Shrinker

    honest = Shrinker._set_tensor
    monkeypatch.setattr(Shrinker, "_set_tensor", lambda self, name, array: honest(self, name, array + 1))
    stored: dict[str, Array] = {"w1": drawn(4, 8), "b1": drawn(8), "w2": drawn(8, 3), "b2": drawn(3)}
    stored["w1"][:, 2], stored["b1"][2] = 0, 2
    text = "g (float[n,4] x) => (float[n,3] y) { h = Gemm(x, w1, b1) a = Relu(h) z = Gemm(a, w2, b2) y = Neg(z) }"
    with pytest.raises(ComparisonFailed, match="first value that differs is z"):
        analyzer.prune(parse(text, stored), latency=False)


@pytest.mark.usefixtures("all_differences_are_ours")
def test_a_search_that_cannot_run_does_not_hide_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*others: object, **more: object) -> None:
        raise RunError("out of memory")

    monkeypatch.setattr("analyzer.api.agreement.first_difference", full)
    with pytest.raises(ComparisonFailed, match=r"differs from the original in y by [^;]*: nothing was written"):
        analyzer.prune(rounding("g"), {"x": drawn(60, 4), "g": np.ones((60, 1), np.float32)}, latency=False)
