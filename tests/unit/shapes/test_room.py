"""A few bytes of file can ask for any amount of memory: it is refused before it is taken."""

from __future__ import annotations

import resource

import numpy as np
import pytest

import analyzer
from analyzer.errors import RunError, RunFailure
from analyzer.probes.probe import open_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes import shape_run, shape_session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import parse

LARGE_FROM_LITTLE = {
    "Expand": "e = Expand(x, huge) y = Relu(e)",
    "Tile": "e = Tile(x, huge) y = Relu(e)",
    "Pad": "e = Pad(x, ends) y = Relu(e)",
    "ConstantOfShape": "e = ConstantOfShape(huge) y = Add(e, x)",
    "Mul": "r = Tile(x, some) t = Transpose(r) e = Mul(r, t) y = Relu(e)",
    "Range": "n = Shape(x) h = Mul(n, huge) l = ReduceMax<keepdims=0>(h) e = Range(zero, l, one) y = Cast<to=1>(e)",
}
STORED = {
    "huge": np.array([1, 1 << 30]),
    "some": np.array([1, 1 << 16]),
    "ends": np.array([0, 0, 0, 1 << 30]),
    "zero": np.array(0),
    "one": np.array(1),
}


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("operator", LARGE_FROM_LITTLE)
def test_a_value_out_of_all_proportion_is_refused_before_memory_is_taken(operator: str, with_data: bool) -> None:
    model = parse(f"g (float[N, 1] x) => (float y) {{ {LARGE_FROM_LITTLE[operator]} }}", STORED, 17)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunError, match=f"{operator} asks for .* GiB of memory") as refused:
        analyzer.audit(model, {"x": np.ones((3, 1), np.float32)} if with_data else None)
    assert refused.value.kind is RunFailure.TOO_LARGE
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 1 << 20  # KiB; the refused value takes four to eight times as much


def test_smaller_guesses_are_tried_where_a_value_is_too_large() -> None:
    """With free lengths of 32 each the product of all by all takes 4 GiB, with 8 each 1 MiB."""
    body = "r = Reshape(x, flat) t = Transpose(r) m = Mul(r, t) y = Relu(m)"
    model = parse(f"g (float[N, A, B, C] x) => (float y) {{ {body} }}", {"flat": np.array([1, -1])}, 17)
    assert measure_shapes(load_model(model), None).shapes["x"] == (1, 8, 8, 8)


def test_room_grows_with_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much is made of a sample, as a network does with an image."""
    monkeypatch.setattr(shape_session, "ROOM", 1 << 20)
    body = "e = Tile(x, many) y = ReduceMax(e)"
    loaded = load_model(parse(f"g (float[N, 16384] x) => (float y) {{ {body} }}", {"many": np.array([1, 72])}, 17))
    probe = open_probe(np.ones((1, 1 << 14), np.float32), loaded.graph.inputs)
    assert measure_shapes(loaded, probe).shapes["e"] == (1, 72 << 14)


def test_guesses_that_compute_too_much_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of 7 by 7 over 32 by 32 positions takes 33,124 multiply-adds, over 8 by 8 it takes 196."""
    monkeypatch.setattr(shape_run, "MOST_MULTIPLY_ADDS", 1000)
    text = "g (float[N, 1, H, W] x) => (float y) { c = Conv(x, w) y = Relu(c) }"
    model = parse(text, {"w": np.ones((1, 1, 7, 7), np.float32)}, 17)
    assert measure_shapes(load_model(model), None).shapes["x"] == (1, 1, 8, 8)


def test_where_every_guess_computes_too_much_shapes_are_inferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape_run, "MOST_MULTIPLY_ADDS", 1000)
    monkeypatch.setattr(shape_run, "ShapeRun", None)
    text = "g (float[N, 1, 32, 32] x) => (float y) { c = Conv(x, w) y = Relu(c) }"
    model = parse(text, {"w": np.ones((1, 1, 7, 7), np.float32)}, 17)
    assert measure_shapes(load_model(model), None).shapes["y"] == (1, 1, 26, 26)
