"""Bounds over many parts at once: around what onnxruntime computes in each, and narrower than over the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from analyzer.bounds import part_bounds
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.bounds.part_bounds import PartBounds
from analyzer.facts.domain import Box
from analyzer.graph import Editor
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array
from tests.models import parse as parsed
from tests.unit.bounds.test_linear import FAMILIES, Stored, _drawn, _largest, _no_samples, _pictures


def _columns(seed: int) -> tuple[str, Stored]:
    """Weights in front of vectors, which have no axis of samples."""
    text = """g (float[5] x) => (float[3] y) {
        a = MatMul (w, x) b = Add (a, c) r = Relu (b) d = MatMul (v, r) s = LeakyRelu<alpha = 0.1> (d)
        y = MatMul (u, s) }"""
    return text, {"w": _drawn(seed, 8, 5), "c": _drawn(seed + 1, 8), "v": _drawn(seed + 2, 8, 8),
                  "u": _drawn(seed + 3, 3, 8)}  # fmt: skip


PARTS, POINTS = 7, 40


class Parted:
    """Bounds of all elements of what comes out, over parts of a box, from above (sign 1) or from below."""

    def __init__(self, text: str, stored: Stored, far: float, seed: int, rounds: int = 2) -> None:
        self.loaded = load_model(parsed(text, stored, 20))
        shapes = measure_shapes(self.loaded, None, threads=1)
        middle, self.random = _drawn(seed + 20, *shapes.shapes["x"]), np.random.default_rng(seed)
        whole = Box(middle - np.float32(far), middle + np.float32(far))
        asked = {"y": Asked(*[np.ones(shapes.shapes["y"], np.bool_)] * 2)}
        self.outside = self.compared = 0
        self.widths = list[float]()
        with LinearBounds(self.loaded, shapes, {"x": whole}, asked, threads=1) as linear:
            bounds = PartBounds(linear)
            assert bounds.takes("y")
            self.whole = linear.bounds({"x": whole}, asked)["y"]
            parts = self._parts(whole)
            known: Mapping[str, Box] = {}
            for _ in range(rounds):  # the second time in smaller parts, of which those before are known
                elements = np.arange(self.whole.low.size)
                found = {sign: [bounds.highest("y", elements[[e]], sign, {"x": parts}, known) for e in elements]
                         for sign in (1, -1)}  # fmt: skip
                high, low = (sign * np.stack([h.most for h in found[sign]], axis=1) for sign in (1, -1))
                self.widths.append(float((high - low).mean()))
                self._check(parts, low, high)
                known, parts = found[1][-1].known, self._smaller(parts)

    def _parts(self, whole: Box) -> Box:
        ends = np.sort(self.random.random((2, PARTS, *whole.low.shape)), axis=0)
        low, high = (np.clip((whole.low + s * (whole.high - whole.low)).astype(np.float32), whole.low, whole.high)
                     for s in ends)  # fmt: skip
        return Box(low, high)

    def _smaller(self, parts: Box) -> Box:
        return Box(parts.low, ((parts.low.astype(np.float64) + parts.high) / 2).astype(np.float32))

    def _check(self, parts: Box, low: Array, high: Array) -> None:
        editor = Editor(self.loaded.copy())
        with Session(editor.loaded, threads=1) as session:
            for part in range(PARTS):
                for _ in range(POINTS):
                    shape = parts.low[part].shape
                    share = (
                        self.random.random(shape) if self.random.random() < 0.3 else self.random.integers(0, 2, shape)
                    )
                    x = parts.low[part] + share * (parts.high[part].astype(np.float64) - parts.low[part])
                    x = np.clip(x.astype(np.float32), parts.low[part], parts.high[part])
                    y = session.run({"x": x})["y"].reshape(-1)
                    self.outside += int(((y < low[part]) | (y > high[part])).sum())
                    self.compared += y.size


@pytest.mark.parametrize("far", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("family", [*FAMILIES, _columns])
def test_all_numbers_of_a_part_lie_within(family: Callable[[int], tuple[str, Stored]], far: float) -> None:
    for seed in range(2):
        parted = Parted(*family(seed), far, seed)
        assert parted.compared and not parted.outside
        width = float((parted.whole.high - parted.whole.low).mean())
        assert parted.widths[1] <= parted.widths[0] * (1 + 1e-6) + 1e-6
        assert not far or family is _largest or parted.widths[0] < width  # of largest ones all parts share lines


def test_parts_do_not_read_each_others_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = part_bounds._of_rows
    monkeypatch.setattr(part_bounds, "_of_rows", lambda lines, rows_of: honest(lines, (rows_of + 1) % PARTS))
    with pytest.raises(AssertionError):
        assert not any(_outside(family, seed) for family in FAMILIES for seed in range(2))


def test_terms_of_another_part_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.bounds import rows

    honest = rows._by_part
    monkeypatch.setattr(rows, "_by_part", lambda factors, middle, radius, parts: honest(
        factors, np.roll(middle, 1, axis=0), np.roll(radius, 1, axis=0), parts))  # fmt: skip
    with pytest.raises(AssertionError):
        assert not any(_outside(family, seed) for family in FAMILIES for seed in range(2))


def test_what_is_known_of_other_parts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PartBounds._start

    def shifted(self: PartBounds, name: str, boxes: Any, known: Any, count: int) -> Box:
        moved = {n: Box(np.roll(b.low, 1, axis=0), np.roll(b.high, 1, axis=0)) for n, b in known.items()}
        return honest(self, name, boxes, moved, count)

    monkeypatch.setattr(PartBounds, "_start", shifted)
    with pytest.raises(AssertionError):
        assert not any(_outside(family, seed) for family in (_no_samples, _pictures) for seed in range(2))


def _outside(family: Callable[[int], tuple[str, Stored]], seed: int) -> int:
    return Parted(*family(seed), 1.0, seed).outside
