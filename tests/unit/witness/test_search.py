"""The search: points stay within the domain, count only by themselves, and end with the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import analyzer
import analyzer.api.settling as settling
import analyzer.witness.search as search
from analyzer.facts.domain import Box, Domain
from analyzer.facts.proof import Method, Outcome
from analyzer.facts.units import AuditedValue, Kind
from analyzer.witness.clock import Clock, OutOfTime
from analyzer.witness.points import Sampler, count_of
from analyzer.witness.proofs import unit_bounds
from analyzer.witness.search import together
from analyzer.witness.sight import Sight
from analyzer.witness.snapping import Grid, pictures
from tests.models import Array, parse, run
from tests.unit.api.test_prove import PROBE, STORED, TEXT


def floats(low: float, high: float, *shape: int, dtype: type = np.float32) -> Box:
    return Box(np.full(shape, low, dtype), np.full(shape, high, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int64, np.uint8, np.bool_])
def test_every_kind_of_point_lies_within_the_domain(dtype: type) -> None:
    ends = (0, 1) if dtype is np.bool_ else (0, 200) if dtype is np.uint8 else (-3, 7)
    parts = tuple({"x": floats(*ends, 1, 4, dtype=dtype), "k": floats(1, 1, dtype=dtype)} for _ in range(2))
    domain = Domain(parts, "two boxes")
    sampler = Sampler(domain, np.random.default_rng(0))
    samples = sampler.uniform(5)
    for points in (sampler.corners(40), samples, sampler.mixes(samples, 40), sampler.stirred(samples, [0] * 5, 0.5),
                   sampler.redrawn(samples, [0] * 5, 0.5)):  # fmt: skip
        assert points["x"].dtype == dtype and points["x"].shape[1:] == (1, 4)
        for place in range(count_of(points)):
            assert domain.outside({name: array[place] for name, array in points.items()}) is None
    corners = sampler.corners(200)["x"]
    assert set(np.unique(corners)) == {dtype(end) for end in ends}


def test_every_other_point_is_coarse_and_the_next_one_fine() -> None:
    sampler = Sampler(Domain(({"x": floats(0, 1, 1, 3, 20, 33)},), "test"), np.random.default_rng(1))
    for points in (sampler.uniform(60), sampler.corners(60)):
        alike = (np.diff(points["x"], axis=-1) == 0).mean(axis=(1, 2, 3, 4))
        assert alike[1::2].max() == 1 and (alike[1::2] > 0.5).mean() > 0.4
        lines = points["x"][1::2, 0].transpose(0, 1, 3, 2)
        assert (np.diff(lines, axis=-1) == 0).mean() > 0.5
    assert (np.diff(sampler.uniform(20)["x"][::2], axis=-1) != 0).mean() > 0.99
    assert len(np.unique(sampler.uniform(60)["x"][1::2].reshape(30, -1)[:, 0])) == 30


def test_ranges_as_wide_as_single_precision_do_not_overflow() -> None:
    most = float(np.finfo(np.float32).max)
    sampler = Sampler(Domain(({"x": floats(-most, most, 1, 100)},), "any"), np.random.default_rng(0))
    assert np.isfinite(sampler.uniform(10)["x"]).all()
    assert np.isfinite(sampler.mixes(sampler.corners(3), 10)["x"]).all()


def test_what_refutes_in_a_batch_and_not_by_itself_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Sight.look

    def tame(self: Sight, points: Any, *given: Any) -> Any:
        """By itself every point shows what the middle of the probe shows."""
        if self.together == 1:
            points = {"x": np.full_like(points["x"], 0.4)}
        return look(self, points, *given)

    monkeypatch.setattr(Sight, "look", tame)
    proof = analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1", budget=3)
    assert not proof.facts.counts()[Outcome.REFUTED]
    assert proof.facts.tried > 0 and not proof.witnesses


def test_the_methods_of_witnesses_are_those_that_found_them() -> None:
    proof = analyzer.prove(parse(TEXT, STORED), PROBE, domain="0:1")
    methods = {unit.method for unit in proof.units if unit.outcome is Outcome.REFUTED}
    assert methods <= {Method.CORNERS, Method.UNIFORM, Method.MIXES, Method.STEEPEST, Method.GRADIENT}


def test_the_clock_ends_by_time_and_by_word() -> None:
    stopped, ticks = list[bool](), list[float]()
    clock = Clock(60, lambda: bool(stopped), ticks.append)
    clock.check()
    stopped.append(True)
    with pytest.raises(OutOfTime):
        clock.check()
    with pytest.raises(OutOfTime):
        Clock(0, lambda: False, ticks.append).check()
    assert len(ticks) == 3


def test_fewer_points_run_together_in_larger_models() -> None:
    assert together(10) == 64 > together(1 << 27) > together(1 << 33) == 4


def test_pictures_are_planes_whose_channels_have_bounds_of_their_own() -> None:
    def domain(box: Box) -> Domain:
        return Domain(({"x": box},), "test")

    plain = floats(0, 1, 1, 3, 8, 8)
    uneven = Box(plain.low, plain.high.copy())
    uneven.high[0, 0, 0, 0] = 0.5
    assert pictures(domain(plain)) == {"x"}
    assert pictures(domain(floats(0, 255, 1, 8, 8, 3, dtype=np.uint8))) == {"x"}
    assert not pictures(domain(uneven))
    assert not pictures(domain(floats(0, 1, 1, 64)))
    assert not pictures(domain(floats(0, 0, 1, 3, 8, 8)))
    assert not pictures(Domain(({"x": plain}, {"x": plain}), "two"))


def test_points_are_put_on_the_grid_of_pixel_values() -> None:
    domain = Domain(({"x": floats(-1, 1, 1, 1, 4, 4)},), "pixels")
    grid, point = Grid(pictures(domain)), {"x": np.full((1, 1, 1, 4, 4), 0.3, np.float32)}
    snapped = grid.snapped(point, domain)
    assert snapped is not None
    levels = (snapped["x"] + 1) * 127.5
    assert np.allclose(levels, np.round(levels), atol=1e-4)
    assert grid.snapped(snapped, domain) is None
    assert Grid().snapped(point, domain) is None


def test_bounds_of_a_unit_are_those_of_all_its_positions_and_no_number_bounds_nothing() -> None:
    value = AuditedValue("y", "", "", Kind.LINEAR, axis=1, units=2, rank=3)
    low, high = np.zeros((1, 2, 3)), np.ones((1, 2, 3))
    low[0, 1, 2], high[0, 0, 1] = np.nan, 5
    bounds = unit_bounds(value, {"y": Box(low, high)})
    assert [*bounds[0]] == [0, -np.inf] and [*bounds[1]] == [5, 1]
    for box in ({}, {"y": Box(np.zeros((1, 3)), np.ones((1, 3)))}):
        assert np.isinf(unit_bounds(value, box)).all()


def test_without_a_gradient_points_that_came_near_are_changed() -> None:
    """The unit wants a token of its own at five of eight places: each that is right brings a point nearer."""
    table = np.zeros((40, 8, 1), np.float32)
    table[[3, 9, 14, 20, 25, 31, 36, 39], np.arange(8), 0] = 1
    text = """g (int64[n,8] x) => (float[n,1] y) {
        i = Add (x, shift) e = Gather (t, i)
        s = ReduceSum<axes = [1], keepdims = 0> (e) h = Add (s, b) y = Relu (h) }"""
    stored: dict[str, Array] = {
        "t": table.transpose(1, 0, 2).reshape(320, 1),
        "shift": np.arange(8) * 40,
        "b": np.array([-4.5], np.float32),
    }
    probe = np.random.default_rng(0).integers(0, 3, (20, 8))
    proof = analyzer.prove(parse(text, stored, 12), probe, domain={"x": (0, 39)}, budget=60)
    (unit,) = proof.units
    assert unit.outcome is Outcome.REFUTED and unit.method is Method.CHANGED


def templates(seed: int) -> tuple[Any, Array]:
    """Twelve channels, each woken by about its own picture of 4x4, and one more that nothing wakes, which bounds cannot
    know: 2 p - p * p - 1.1 for the first of them; and even pictures as a probe.
    """
    random = np.random.default_rng(seed)
    kernels = random.choice([-1.0, 1.0], (12, 1, 4, 4)).astype(np.float32)
    most = np.maximum(kernels, 0).sum(axis=(1, 2, 3))
    text = """g (float[n,1,14,14] x) => (float[n,13,11,11] y) {
        h = Conv (x, w, b) p = Conv (x, v) q = Mul (p, p) t = Add (p, p) d = Sub (t, q) c = Sub (d, e)
        j = Concat<axis = 1> (h, c) y = Relu (j) }"""
    stored: dict[str, Array] = {
        "w": kernels,
        "b": (-0.7 * most).astype(np.float32),
        "v": kernels[:1],
        "e": np.array(1.1, np.float32),
    }
    probe = np.broadcast_to(random.random((40, 1, 1, 1)), (40, 1, 14, 14)).astype(np.float32)
    return parse(text, stored), probe


def test_many_units_are_woken_from_few_points_and_what_cannot_be_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "CHEAP", dict.fromkeys(search.CHEAP, 1))
    monkeypatch.setattr(search, "CHEAP_TURNS", 1)
    monkeypatch.setattr(search, "IN_VAIN", 4)
    monkeypatch.setattr(settling, "_hints", lambda *_: iter(()))
    model, probe = templates(3)
    proof = analyzer.prove(model, probe, domain="0:1", budget=600)
    outcomes = {unit.unit: unit.outcome for unit in proof.units}
    assert len(outcomes) == 13 and outcomes.pop(12) is Outcome.OPEN
    assert {*outcomes.values()} == {Outcome.REFUTED}
    assert {unit.method for unit in proof.units} >= {Method.GRADIENT}
    woken = np.concatenate(
        [run(model, {"x": point})["y"] for point in proof.witnesses["x"].reshape(-1, 1, 1, 14, 14)]
    ).max(axis=(0, 2, 3))
    assert (woken[:12] > 0).all() and not woken[12]


def test_the_same_seed_finds_the_same_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "IN_VAIN", 1)
    model, probe = templates(4)
    first, again = (analyzer.prove(model, probe, domain="0:1", budget=600, seed=5) for _ in range(2))
    assert first.facts.units == again.facts.units and first.facts.tried == again.facts.tried
    assert (first.witnesses["x"] == again.witnesses["x"]).all()
