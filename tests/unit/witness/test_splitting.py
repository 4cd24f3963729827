"""Domains in parts: a claim is proven where bounds show it over every part, and over no fewer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from analyzer.facts.domain import Box, Domain
from analyzer.facts.proof import Claim
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, Kind
from analyzer.witness.claims import Claims, LayerClaims
from analyzer.witness.part_looks import OneByOne
from analyzer.witness.splitting import Splitter, worth_splitting

VALUE = AuditedValue("y", "", "Relu", Kind.RECTIFIER, axis=1, units=1, rank=2, low=0.0)
DEAD = Claims((LayerClaims(VALUE, Claim.DEAD, np.array([0]), np.array([0.0]), ((),)),), Thresholds())


def square(low: float, high: float) -> dict[str, Box]:
    return {"x": Box(np.full((1, 2), low, np.float32), np.full((1, 2), high, np.float32))}


def product(threshold: float, seen: list[Mapping[str, Box]], together: int = 4) -> Splitter:
    """Of relu(x0 (1 - x0) - threshold), by intervals: at most 1/4 - threshold, and 1 - threshold over the whole."""

    def bounds(part: Mapping[str, Box]) -> Mapping[str, Box]:
        seen.append(part)
        low, high = part["x"].low[0, 0], part["x"].high[0, 0]
        most = max(float(high * (1 - low)) - threshold, 0.0)
        return {"y": Box(np.zeros((1, 1)), np.full((1, 1), most))}

    return Splitter(OneByOne(bounds, DEAD), Domain((square(0, 1),), "test"), together)


@pytest.mark.parametrize("together", [1, 3, 64])
def test_what_only_parts_show_is_proven_and_parts_cover_the_domain(together: int) -> None:
    seen = list[Mapping[str, Box]]()
    assert product(0.4, seen, together).proves(0)
    assert len(seen) > 1
    leaves = [p for p in seen if p["x"].high[0, 0] * (1 - p["x"].low[0, 0]) <= 0.4]
    area = sum(float(np.prod(p["x"].high - p["x"].low)) for p in leaves)
    assert area == pytest.approx(1)


@pytest.mark.parametrize("threshold", [0.2, 0.2499])
def test_what_some_part_breaks_is_never_proven(threshold: float) -> None:
    assert not product(threshold, []).proves(0)


def test_a_limit_and_the_time_leave_claims_open() -> None:
    assert not product(0.4, []).proves(0, lambda: False)
    assert not product(0.3, []).proves(0, most=3)


def test_what_was_looked_at_is_not_looked_at_again() -> None:
    whole, some = list[Mapping[str, Box]](), list[Mapping[str, Box]]()
    assert product(0.3, whole, 2).proves(0)
    splitter = product(0.3, some, 2)
    for most in (3, 6, 12):
        splitter.proves(0, most=most)
    assert splitter.proves(0)
    assert len(some) == len(whole) > 12


def test_halves_share_their_middle_and_nothing_else() -> None:
    """Of neighbours in single precision nothing is left to halve, and a claim that is open there stays open."""
    one, next_one = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    narrow = {"x": Box(np.array([[one, one]]), np.array([[next_one, one]]))}
    seen = list[Mapping[str, Box]]()

    def bounds(part: Mapping[str, Box]) -> Mapping[str, Box]:
        seen.append(part)
        return {"y": Box(np.zeros((1, 1)), np.ones((1, 1)))}

    assert not Splitter(OneByOne(bounds, DEAD), Domain((narrow,), "test")).proves(0)
    assert len(seen) == 1
    seen.clear()
    assert not product(0.2, seen).proves(0, most=200)
    lows, highs = (np.concatenate([getattr(part["x"], end) for part in seen]) for end in ("low", "high"))
    ends = {*lows[lows > 0].tolist()}
    assert ends and ends == {*highs[highs < 1].tolist()}


def test_points_are_tried_where_bounds_are_highest() -> None:
    """Relu(x0 - 0.9) fires at corners of parts, which are inputs of the domain."""
    tried = list[Mapping[str, np.ndarray]]()

    def bounds(part: Mapping[str, Box]) -> Mapping[str, Box]:
        return {"y": Box(np.zeros((1, 1)), np.full((1, 1), max(float(part["x"].high[0, 0]) - 0.9, 0.0)))}

    domain, weights = Domain((square(0, 1),), "test"), {"x": np.array([[1.0, 0.0]])}
    splitter = Splitter(OneByOne(bounds, DEAD, lambda _: weights), domain, tries=tried.append)
    assert not splitter.proves(0, most=9)
    points = np.concatenate([some["x"] for some in tried])
    assert (points[:, 0, 0] > 0.9).all() and (points[:, 0, 0] == 1).any() and ((points >= 0) & (points <= 1)).all()


def test_every_box_of_a_union_counts() -> None:
    def bounds(part: Mapping[str, Box]) -> Mapping[str, Box]:
        return {"y": Box(np.zeros((1, 1)), np.full((1, 1), max(float(part["x"].high.max()) - 1, 0.0)))}

    one, two = (Domain(boxes, "test") for boxes in ((square(0, 1),), (square(0, 1), square(1, 2))))
    assert Splitter(OneByOne(bounds, DEAD), one).proves(0)
    assert not Splitter(OneByOne(bounds, DEAD), two).proves(0)


def test_only_few_floats_are_worth_it() -> None:
    many = {"x": Box(np.zeros((1, 13), np.float32), np.ones((1, 13), np.float32))}
    whole = {"x": Box(np.zeros((1, 2), np.int64), np.ones((1, 2), np.int64))}
    assert worth_splitting(Domain((square(0, 1),), "few"))
    assert not worth_splitting(Domain((many,), "many"))
    assert not worth_splitting(Domain((whole,), "whole numbers"))


def test_parts_are_halved_where_that_counts() -> None:
    """The claim depends on x1 alone: halving x0, which is as wide, would double the parts for nothing."""
    seen = list[Mapping[str, Box]]()

    def bounds(part: Mapping[str, Box]) -> Mapping[str, Box]:
        seen.append(part)
        low, high = float(part["x"].low[0, 1]), float(part["x"].high[0, 1])
        return {"y": Box(np.zeros((1, 1)), np.full((1, 1), max(high * (1 - low) - 0.26, 0.0)))}

    weights = {"x": np.array([[0.0, 1.0]])}
    domain = Domain((square(0, 1),), "test")
    assert Splitter(OneByOne(bounds, DEAD, lambda _: weights), domain).proves(0)
    led = len(seen)
    seen.clear()
    assert Splitter(OneByOne(bounds, DEAD), domain).proves(0)
    assert led < len(seen)
