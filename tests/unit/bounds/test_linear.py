"""Linear bounds: around all that onnxruntime computes, exact where nothing bends, narrower than intervals elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from analyzer.bounds import interval_bounds
from analyzer.bounds.arithmetic import ARITHMETIC, Arithmetic
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.bounds.lines import Lines, Pieces, lines_around, pieces_of
from analyzer.bounds.region import Region
from analyzer.bounds.rows import RowGraph
from analyzer.facts.domain import Box
from analyzer.graph import Editor
from analyzer.ops.node import OpNode
from analyzer.ops.pool import AveragePool
from analyzer.ops.pull_back import Tape
from analyzer.ops.shared_context import context_of
from analyzer.runtime.loading import load_model
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array, parse

Stored = dict[str, Array]


def _drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _dense(seed: int) -> tuple[str, Stored]:
    text = """g (float[n,6] x) => (float[n,4] y) {
        a = Gemm<transB = 1, alpha = 0.7> (x, w, b) r = Relu (a) c = MatMul (r, v) s = LeakyRelu<alpha = 0.2> (c)
        d = Gemm (s, u) t = Clip (d, low, high) e = Add (t, s) y = Gemm (e, q) }"""
    return text, {
        "w": _drawn(seed, 12, 6), "b": _drawn(seed + 1, 12), "v": _drawn(seed + 2, 12, 9), "u": _drawn(seed + 3, 9, 9),
        "low": np.array(-1, np.float32), "high": np.array(1.5, np.float32), "q": _drawn(seed + 4, 9, 4),
    }  # fmt: skip


def _pictures(seed: int) -> tuple[str, Stored]:
    text = """g (float[n,2,6,6] x) => (float[n,3] y) {
        a = Conv<pads = [1, 1, 1, 1]> (x, k, b) m = BatchNormalization (a, g1, g2, g3, g4) r = PRelu (m, slopes)
        c = Conv<group = 2, pads = [1, 1, 1, 1], strides = [2, 2]> (r, l) s = Relu (c) d = Conv (s, o) t = Add (d, s)
        p = AveragePool<kernel_shape = [2, 2], pads = [1, 1, 0, 0], count_include_pad = 1> (t) h = HardSigmoid (p)
        u = Concat<axis = 1> (p, s) v = Relu (u) f = Flatten (v) y = Gemm (f, w) }"""
    return text, {
        "k": _drawn(seed, 4, 2, 3, 3), "b": _drawn(seed + 1, 4), "l": _drawn(seed + 2, 4, 2, 3, 3),
        "g1": _drawn(seed + 3, 4), "g2": _drawn(seed + 4, 4), "g3": _drawn(seed + 5, 4),
        "g4": np.abs(_drawn(seed + 6, 4)) + 0.1, "slopes": np.array([[[0.2]], [[-0.5]], [[1.5]], [[0]]], np.float32),
        "o": _drawn(seed + 7, 4, 4, 1, 1), "w": _drawn(seed + 8, 72, 3),
    }  # fmt: skip


def _smooth(seed: int) -> tuple[str, Stored]:
    text = """g (float[n,5] x) => (float[n,4] y) {
        a = Gemm (x, w, b) s = Sigmoid (a) t = Tanh (a) c = Concat<axis = 1> (s, t) d = MatMul (c, v) h = HardSwish (d)
        e = Elu<alpha = 0.7> (d) f = Softplus (d) i = Add (h, e) j = Add (i, f) g1 = MatMul (j, u) k = Gelu (g1)
        l = Erf (g1) m = Add (k, l) n1 = Mish (m) o = Selu (n1) q = Celu<alpha = 0.5> (o) y = Gemm (q, z) }"""
    return text, {
        "w": _drawn(seed, 5, 4), "b": _drawn(seed + 1, 4), "v": _drawn(seed + 2, 8, 5),
        "u": _drawn(seed + 3, 5, 4) / 2, "z": _drawn(seed + 4, 4, 4),
    }  # fmt: skip


def _largest(seed: int) -> tuple[str, Stored]:
    text = """g (float[n,2,7,6] x) => (float[n,3] y) {
        a = Conv<pads = [1, 1, 1, 1]> (x, k, b)
        m = MaxPool<kernel_shape = [3, 2], pads = [1, 0, 1, 1], strides = [2, 1]> (a) c = Conv<group = 2> (m, l)
        r = Relu (c)
        p = MaxPool<kernel_shape = [2, 2]> (r) d = Conv<pads = [1, 0, 0, 1]> (p, o) q = GlobalMaxPool (d)
        f = Flatten (q) y = Gemm (f, w) }"""
    return text, {
        "k": _drawn(seed, 4, 2, 3, 3), "b": _drawn(seed + 1, 4), "l": _drawn(seed + 2, 4, 2, 2, 2),
        "o": _drawn(seed + 3, 5, 4, 2, 2), "w": _drawn(seed + 4, 5, 3),
    }  # fmt: skip


def _no_samples(seed: int) -> tuple[str, Stored]:
    text = """g (float[5] x) => (float[3] y) {
        a = MatMul (x, w) r = Relu (a) c = MatMul (r, v) s = Relu (c) y = MatMul (s, u) }"""
    return text, {"w": _drawn(seed, 5, 8), "v": _drawn(seed + 1, 8, 8), "u": _drawn(seed + 2, 8, 3)}


FAMILIES = [_dense, _pictures, _smooth, _largest, _no_samples]


class Bounded:
    """Linear bounds of all numbers of a net around a point, and what onnxruntime computes there."""

    def __init__(self, text: str, stored: Stored, far: float, seed: int, turns: int = 0) -> None:
        self.loaded = load_model(parse(text, stored, 20))
        shapes = measure_shapes(self.loaded, None, threads=1)
        middle = _drawn(seed + 20, *shapes.shapes["x"])
        self.box = {"x": Box(middle - np.float32(far), middle + np.float32(far))}
        self.intervals = interval_bounds(self.loaded, shapes, self.box, threads=1)
        asked = {name: Asked(*[np.ones(shapes.shapes[name], np.bool_)] * 2) for name in self.intervals if name != "x"}
        with LinearBounds(self.loaded, shapes, self.box, asked, threads=1) as linear:
            linear.bounds(self.box, asked)
            self.bounds = linear.bounds(self.box, asked, turns=turns)
            corners = list[Array]()
            for value in asked:
                size, fits = self.bounds[value].low.size, linear.together(value) if value in linear.rows else 0
                if fits:
                    for sign in (1, -1):
                        signs = np.full(size, sign, np.int64)
                        corners += filter(
                            np.size, [linear.steepest(value, np.arange(size), signs).get("x", np.zeros(0))]
                        )
        self.points = np.concatenate([self._drawn(seed), *(c.reshape(-1, *middle.shape) for c in corners)])

    def _drawn(self, seed: int) -> Array:
        random, box = np.random.default_rng(seed), self.box["x"]
        size = (40, box.low.size)
        shares = np.where(random.random((40, 1)) < 0.5, random.random(size), random.integers(0, 2, size))
        inside = box.low + shares.reshape(40, *box.low.shape) * (box.high - box.low)
        return np.asarray(np.clip(inside.astype(np.float32), box.low, box.high))

    def outside(self) -> list[str]:
        """Values of which some number lies outside of its bounds, node by node and as onnxruntime fuses them."""
        editor = Editor(self.loaded.copy())
        names = [name for name in self.bounds if name in self.loaded.graph.producer]
        editor.output(*names)
        found = set[str]()
        with (
            Session(editor.loaded, threads=1, optimization=Optimization.NONE) as plain,
            Session(self.loaded, threads=1) as fast,
        ):
            for point in self.points:
                for session, asked in ((plain, names), (fast, ["y"])):
                    for name, array in session.run({"x": point}, asked).items():
                        box = self.bounds[name]
                        if not ((box.low <= array) & (array <= box.high)).all():
                            found.add(name)
        return sorted(found)


@pytest.mark.parametrize("far", [0.0, 0.01, 0.3, 3.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_all_numbers_lie_within(family: Callable[[int], tuple[str, Stored]], far: float) -> None:
    for seed in range(3):
        bounded = Bounded(*family(seed), far, seed)
        assert not bounded.outside()
        for name, box in bounded.bounds.items():
            plain = bounded.intervals[name]  # of another graph, which onnxruntime rounds in another way
            slack = 1e-5 * (1 + np.abs(plain.low) + np.abs(plain.high))
            assert (box.low >= plain.low - slack).all() and (box.high <= plain.high + slack).all()


def test_they_are_narrower_than_intervals() -> None:
    for family in FAMILIES:
        bounded = Bounded(*family(0), 0.1, 0)
        linear, plain = (float((b["y"].high - b["y"].low).sum()) for b in (bounded.bounds, bounded.intervals))
        assert linear < 0.8 * plain


def test_where_nothing_bends_they_are_what_is_true() -> None:
    """Far from any bend the net is one matrix, and the largest number of a unit is known."""
    first, second = _drawn(0, 4, 5), _drawn(1, 5, 3)
    text = "g (float[n,4] x) => (float[n,3] y) { a = MatMul (x, w) b = Add (a, c) r = Relu (b) y = MatMul (r, v) }"
    bounded = Bounded(text, {"w": first, "c": np.full(5, 100, np.float32), "v": second}, 0.5, 0)
    middle = (bounded.box["x"].low + bounded.box["x"].high) / 2
    largest = (middle @ first + 100) @ second + 0.5 * np.abs(first @ second).sum(axis=0)
    assert bounded.bounds["y"].high == pytest.approx(largest, rel=1e-4)
    assert (bounded.intervals["y"].high > largest + 0.2).all()


def test_for_one_number_they_enclose_the_extremes_that_its_bends_tell() -> None:
    for seed in range(5):
        first, second = _drawn(seed, 1, 6), _drawn(seed + 1, 6, 2)
        text = "g (float[n,1] x) => (float[n,2] y) { a = MatMul (x, w) b = Add (a, c) r = Relu (b) y = MatMul (r, v) }"
        shift = _drawn(seed + 2, 6)
        bounded = Bounded(text, {"w": first, "c": shift, "v": second}, 1.0, seed)
        low, high = bounded.box["x"].low.item(), bounded.box["x"].high.item()
        places = np.array([low, high, *[p for p in -shift / first[0] if low < p < high]])[:, None]
        exact = np.maximum(places @ first + shift, 0) @ second
        box = bounded.bounds["y"]
        assert (box.low <= exact.min(axis=0) + 1e-5).all() and (box.high >= exact.max(axis=0) - 1e-5).all()
        assert (box.high - box.low).sum() <= (bounded.intervals["y"].high - bounded.intervals["y"].low).sum() + 1e-6


def test_values_of_which_rows_would_take_too_long_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.bounds.linear_bounds.MOST_WORK", 10)
    bounded = Bounded(*_dense(0), 0.1, 0)
    assert not bounded.outside()


def test_lines_touch_what_bends() -> None:
    random = np.random.default_rng(0)
    functions: list[tuple[Callable[[Array], Array], tuple[float, ...]]] = [
        (lambda x: np.maximum(x, 0), (0.0,)),
        (lambda x: np.where(x > 0, x, -2 * x), (0.0,)),
        (lambda x: np.clip(x, -1, 2), (-1.0, 2.0)),
        (lambda x: -np.abs(x), (0.0,)),
        (lambda x: -3 * x, ()),
    ]
    for function, bends in functions:
        low = random.normal(size=200) * 3
        high = low + np.abs(random.normal(size=200)) * random.choice([0, 1e-6, 1, 9], 200)
        found = lines_around(pieces_of(function, low, high, bends))
        for share in np.linspace(0, 1, 41):
            x = low + share * (high - low)
            y = function(x)
            assert (found.low * x.astype(np.float64) + found.low_shift <= y).all()
            assert (y <= found.high * x.astype(np.float64) + found.high_shift).all()
        places = np.stack([low, high, *(np.clip(bend, low, high) for bend in bends)])
        assert ((found.high * places + found.high_shift - function(places)).min(axis=0) < 1e-9).all()
        assert ((function(places) - found.low * places - found.low_shift).min(axis=0) < 1e-9).all()


# -- faults: each of these is found out by the nets above -------------------------------------------------------------


def _caught(seeds: int = 4) -> bool:
    nets = [(family, far, seed) for family in FAMILIES for far in (0.0, 0.3) for seed in range(seeds)]
    return any(Bounded(*family(seed), far, seed).outside() for family, far, seed in nets)


def test_lines_on_the_wrong_side_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lines_around

    def swapped(*given: Any) -> Lines:
        found = honest(*given)
        return Lines(found.high, found.low, found.high_shift, found.low_shift)

    monkeypatch.setattr("analyzer.bounds.region.lines_around", swapped)
    with pytest.raises(AssertionError):  # bounds that cross, or a number outside
        assert not _caught()


def test_a_slope_without_its_shift_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = lines_around

    def flat(*given: Any) -> Lines:
        found = honest(*given)
        return Lines(found.low, found.high, found.low_shift, found.high_shift * 0)

    monkeypatch.setattr("analyzer.bounds.region.lines_around", flat)
    with pytest.raises(AssertionError):
        assert not _caught()


def test_forgotten_roundings_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arithmetic, "computed", lambda self, terms: -2 * terms * self.unit)
    monkeypatch.setattr("analyzer.bounds.region.UNIT", 0.0)
    with pytest.raises(AssertionError):
        assert not _caught(8)


def test_windows_that_forget_the_padding_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """g (float[n,1,4,4] x) => (float[n,1,4,4] y) {
        a = Conv (x, k) r = Relu (a) p = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r) y = Neg (p) }"""
    stored = {"k": np.ones((1, 1, 1, 1), np.float32)}

    def everywhere(
        self: AveragePool, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0
    ) -> str | None:
        return self._through_windows(node, tape, rows, largest=False)

    assert not Bounded(text, stored, 0.3, 0).outside()
    monkeypatch.setattr(AveragePool, "transposed", everywhere)
    with pytest.raises(AssertionError):
        assert not Bounded(text, stored, 0.3, 0).outside()


def test_rows_that_are_added_once_too_seldom_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = RowGraph._carried

    def lost(self: RowGraph, call: Any, output: int, found: dict[str, str]) -> bool:
        before = dict(found)
        carried = honest(self, call, output, found)
        found.update({name: rows for name, rows in before.items() if name in found})
        return carried

    monkeypatch.setattr(RowGraph, "_carried", lost)
    with pytest.raises(AssertionError):
        assert not _caught()


# -- slopes that are sought -------------------------------------------------------------------------------------------

TURNS = 8


def _widths(bounds: Any) -> float:
    return float((bounds["y"].high - bounds["y"].low).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_hold_whatever_slopes_are_sought(family: Callable[[int], tuple[str, Stored]]) -> None:
    narrower = 0
    for seed, far in ((0, 0.1), (1, 1.0)):
        plain, sought = Bounded(*family(seed), far, seed), Bounded(*family(seed), far, seed, turns=TURNS)
        assert not sought.outside()
        narrower += _widths(sought.bounds) < 0.995 * _widths(plain.bounds)
    assert narrower or family is _no_samples


def test_the_same_slopes_are_found_again() -> None:
    one, other = (Bounded(*_dense(1), 0.5, 1, turns=TURNS).bounds["y"] for _ in range(2))
    assert (one.low == other.low).all() and (one.high == other.high).all()


def test_a_line_that_keeps_its_shift_while_its_slope_moves_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, first = Pieces.shift, dict[int, tuple[Pieces, Array]]()

    def kept(self: Pieces, slope: Array, side: int) -> Array:
        shift = honest(self, slope, side)
        return first.setdefault(id(self), (self, shift))[1] if len(slope) > 1 else shift

    monkeypatch.setattr(Pieces, "shift", kept)
    with pytest.raises(AssertionError):
        assert not any(Bounded(*_dense(seed), 0.5, seed, turns=TURNS).outside() for seed in range(2))


@pytest.mark.parametrize("body", ["Add (h, c)", "Mul (h, c)"])
def test_what_is_repeated_beside_a_stored_operand_is_read_as_often(body: str) -> None:
    """Rows add up the factors of all copies, and round as often."""
    text = f"g (float[n,1,1] x) => (float[n,3,5] y) {{ h = Relu (x) y = {body} }}"
    loaded = load_model(parse(text, {"c": _drawn(0, 1, 3, 5)}))
    shapes = measure_shapes(loaded, None, threads=1)
    context = context_of(loaded.graph, shapes.of_single_samples)
    region = Region(context, shapes, ARITHMETIC["float32"])
    assert region.readers(context.calls[-1]) == 15
