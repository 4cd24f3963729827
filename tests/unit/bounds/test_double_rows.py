"""Rows in double precision: bounds of formulas that hold to the last digit, and that forget nothing they round."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from analyzer.bounds import linear_bounds
from analyzer.bounds.arithmetic import DOUBLE_UNIT
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.bounds.rows import RowGraph
from analyzer.facts.domain import Box
from analyzer.ops.pull_back import Tape
from analyzer.runtime.loading import load_model
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse

ALPHA = 0.7
NET = f"""g (float[n,40] x) => (float[n,5] y) {{
    a = Gemm<alpha = {ALPHA}, transB = 1> (x, w) r = Reshape (a, parts) m = ReduceMean<keepdims = 0> (r, axes)
    s = Sub (m, c) y = MatMul (s, v) }}"""


def _stored(seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    sizes = {"w": (21, 40), "c": (7,), "v": (7, 5)}
    drawn = {name: random.standard_normal(shape).astype(np.float32) for name, shape in sizes.items()}
    return drawn | {"parts": np.array([-1, 7, 3]), "axes": np.array([2])}


def _bounded(seed: int) -> tuple[Box, Box]:
    """A box around inputs, and the bounds of what comes out of the formula."""
    loaded = load_model(parse(NET, _stored(seed), 20))
    shapes = measure_shapes(loaded, None, threads=1)
    middle = np.random.default_rng(seed + 50).standard_normal((1, 40)).astype(np.float32)
    boxes = {"x": Box(middle - np.float32(1e-3), middle + np.float32(1e-3))}
    asked = {"y": Asked(*[np.ones((1, 5), np.bool_)] * 2)}
    with LinearBounds(loaded, shapes, boxes, asked, arithmetic="real", threads=1) as linear:
        return boxes["x"], linear.bounds(boxes, asked)["y"]


def _exact(seed: int, box: Box) -> Iterator[tuple[Fraction, Fraction]]:
    """Between which each number of the formula lies, without any rounding."""
    stored = {name: [[Fraction(float(n)) for n in row] for row in np.atleast_2d(array)]
              for name, array in _stored(seed).items() if array.dtype == np.float32}  # fmt: skip
    alpha = Fraction(float(np.float32(ALPHA)))
    means = [[sum(stored["w"][3 * k + i][j] for i in range(3)) * alpha / 3 for j in range(40)] for k in range(7)]
    ends = [[Fraction(float(n)) for n in end[0]] for end in (box.low, box.high)]
    for unit in range(5):
        factors = [sum(means[k][j] * stored["v"][k][unit] for k in range(7)) for j in range(40)]
        shift = -sum(stored["c"][0][k] * stored["v"][k][unit] for k in range(7))
        least, most = (sum((f * ends[side ^ (f < 0)][j] for j, f in enumerate(factors)), shift) for side in (0, 1))
        yield Fraction(least), Fraction(most)


def _checked(seed: int) -> float:
    """How far bounds are from what is exact, at most; none may lie inside."""
    box, found = _bounded(seed)
    away = 0.0
    for unit, (least, most) in enumerate(_exact(seed, box)):
        low, high = (Fraction(float(end[0, unit])) for end in (found.low, found.high))
        assert low <= least and most <= high
        away = max(away, float(least - low), float(high - most))
    return away


def test_bounds_of_formulas_hold_to_the_last_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        wide = _checked(seed)
        with monkeypatch.context() as single:
            single.setattr(linear_bounds, "MOST_WIDE", 0)
            assert wide < 0.3 * _checked(seed)


def test_single_precision_that_is_taken_for_double_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_bounds, "MOST_WIDE", 0)
    monkeypatch.setattr("analyzer.bounds.region.UNIT", DOUBLE_UNIT)
    with pytest.raises(AssertionError):
        [_checked(seed) for seed in range(8)]


def test_factors_that_are_rounded_on_the_way_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Tape.number

    def rounded(self: Tape, array: npt.ArrayLike, dtype: str | None) -> str:
        return honest(self, np.asarray(array, np.float32).astype(np.float64), dtype)

    monkeypatch.setattr(Tape, "number", rounded)
    monkeypatch.setattr("analyzer.bounds.region.UNIT", DOUBLE_UNIT)  # that of what is scaled, which hides little
    with pytest.raises(AssertionError):
        [_checked(seed) for seed in range(8)]


def test_what_has_no_kernels_in_double_precision_stays_in_single(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[bool]()
    honest = RowGraph

    def counted(*given: Any, wide: bool = False, **named: Any) -> Any:
        graph = honest(*given, wide=wide, **named)
        made.append(wide)
        return graph

    monkeypatch.setattr(linear_bounds, "RowGraph", counted)
    text = "g (float[n,2,4,4] x) => (float[n,3,2,2] y) { a = Conv (x, k) r = Relu (a) y = Conv (r, l) }"
    stored = {"k": np.ones((3, 2, 2, 2), np.float32), "l": np.ones((3, 3, 2, 2), np.float32)}
    loaded = load_model(parse(text, stored, 20))
    shapes = measure_shapes(loaded, None, threads=1)
    boxes = {"x": Box(-np.ones((1, 2, 4, 4), np.float32), np.ones((1, 2, 4, 4), np.float32))}
    asked = {"y": Asked(*[np.ones((1, 3, 2, 2), np.bool_)] * 2)}
    with LinearBounds(loaded, shapes, boxes, asked, threads=1) as linear:
        assert np.isfinite(linear.bounds(boxes, asked)["y"].high).all()
    assert made and not any(made)
