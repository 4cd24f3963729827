"""What is said of gathers at joins: how many, and why they were left out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice
from tests.made_pruned import latency
from tests.models import Array, parse


def drawn(*shape: int) -> Array:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


@pytest.fixture
def residual() -> onnx.ModelProto:
    """Five of eight channels are dead on one side of a join, and another layer reads them there."""
    bias = drawn(8)
    bias[:5] = -100
    stored: dict[str, Array] = {
        "w0": drawn(3, 8), "b0": bias, "w1": drawn(8, 30), "w2": drawn(3, 8), "w3": drawn(8, 4),
    }  # fmt: skip
    return parse(
        """g (float[n,3] x) => (float[n,30] z, float[n,4] y) {
            s = Gemm(x, w0, b0) r = Relu(s) z = MatMul(r, w1) c = MatMul(x, w2) a = Add(r, c) y = MatMul(a, w3)
        }""",
        stored,
    )


def test_one_gather_is_one(residual: onnx.ModelProto) -> None:
    found = analyzer.prune(residual, {"x": drawn(20, 3)}, choice=Choice(residual="params"), latency=False)
    (note,) = found.facts.notes
    assert note.startswith("1 gather was inserted at joins of unequally dead branches; it saves ")


@pytest.mark.parametrize(("ratio", "taken"), [(0.9, True), (1.0, True), (1.004, True), (1.2, False)])
def test_a_ratio_that_reads_as_the_same_time_costs_no_speed(
    residual: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, ratio: float, taken: bool
) -> None:
    monkeypatch.setattr("analyzer.api.chosen_cut.measure_latency", lambda *others, **more: latency(ratio))
    found = analyzer.prune(residual, {"x": drawn(20, 3)}, choice=Choice(residual="latency"), latency=False)
    (note,) = found.facts.notes
    assert ("inserted" in note) == taken
    assert ("cost speed (1.20 times the time)" in note) != taken
