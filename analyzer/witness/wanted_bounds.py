"""Claims and linear bounds: of which numbers bounds are wanted, and the inputs at which they are largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Bools, Ints
from analyzer.facts.units import ShapeTable
from analyzer.witness.claims import Aim, Claims
from analyzer.witness.points import Points, kept_within

NEARLY = 0.2  # share of the width of bounds by which they may fail to show a claim so that slopes are sought for it
MOST_NUMBERS = 1 << 26  # of all values of one sample; of larger ones no linear bounds are computed


def aims_of(claims: Claims, chosen: Bools) -> Iterator[tuple[int, int, Aim]]:
    """The chosen claims, each with its unit, once for every way in which it breaks."""
    for start, layer in zip(claims.starts, claims.layers, strict=False):
        for place, (unit, aims) in enumerate(zip(layer.units.tolist(), layer.aims, strict=True)):
            for aim in aims if chosen[start + place] else ():
                yield start + place, unit, aim


def asked_of(claims: Claims, chosen: Bools, shapes: ShapeTable) -> dict[str, Asked]:
    """The numbers whose bounds would show the chosen claims, by value."""
    found = dict[str, Asked]()
    for _, unit, aim in aims_of(claims, chosen):
        shape = shapes.shapes.get(aim.value)
        if shape is not None and aim.axis < len(shape):
            if aim.value not in found:
                found[aim.value] = Asked(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))
            side = found[aim.value].above if aim.sign > 0 else found[aim.value].below
            side[_slice(aim, unit, len(shape))] = True
    return found


def nearly_shown(claims: Claims, chosen: Bools, bounds: Mapping[str, Box]) -> Bools:
    """Which of the chosen claims such bounds nearly show: by no more than a share of how far apart they are."""
    found = chosen.copy()
    for claim, unit, aim in aims_of(claims, chosen):
        box = bounds.get(aim.value)
        if box is None or aim.axis >= box.low.ndim:
            found[claim] = False
            continue
        low, high = (end[_slice(aim, unit, end.ndim)].astype(np.float64) for end in (box.low, box.high))
        beyond = (high if aim.sign > 0 else -low) - aim.limit
        found[claim] &= bool((beyond <= NEARLY * (high - low)).all())
    return found


def worth_bounding(shapes: ShapeTable) -> bool:
    """Whether all values together are few enough numbers."""
    return sum(prod(shape) for shape in shapes.shapes.values()) <= MOST_NUMBERS


def steepest(linear: LinearBounds, claims: Claims, chosen: Bools, box: Mapping[str, Box]) -> Iterator[Points]:
    """For each of these claims the corner of the domain's only `box` where its linear bound is largest.

    Of values whose rows end before they come to an input comes a point of nothing, so that the time can be looked at.
    """
    groups, bounds = dict[str, dict[int, tuple[int, int]]](), linear.known
    for claim, unit, aim in aims_of(claims, chosen):
        if aim.value in bounds and aim.value in linear.rows and aim.axis < bounds[aim.value].low.ndim:
            groups.setdefault(aim.value, {}).setdefault(claim, (_highest(bounds[aim.value], aim, unit), aim.sign))
    for value, members in groups.items():
        order = [*members]
        for start in range(0, len(order), linear.together(value)):
            some = order[start : start + linear.together(value)]
            elements, signs = (np.array([members[claim][side] for claim in some], np.int64) for side in range(2))
            corners = linear.steepest(value, elements, signs) if linear.reaches(value) else {}
            yield {name: kept_within(array, box[name]) for name, array in corners.items()}


def counts_of(linear: LinearBounds, claims: Claims) -> Callable[[int], Mapping[str, Array]]:
    """How much each element of the inputs counts for a claim, in the box that was bounded last."""

    def weights(claim: int) -> Mapping[str, Array]:
        chosen = np.arange(claims.count) == claim
        for _, unit, aim in aims_of(claims, chosen):
            if aim.value in linear.rows and aim.value in linear.known:
                place = np.array([_highest(linear.known[aim.value], aim, unit)])
                factors = linear.factors(aim.value, place, np.array([aim.sign]))
                return {name: rows[0] for name, rows in factors.items()}
        return {}

    return weights


def _slice(aim: Aim, unit: int, rank: int) -> tuple[int | slice, ...]:
    return tuple(unit if axis == aim.axis else slice(None) for axis in range(rank))


def _highest(box: Box, aim: Aim, unit: int) -> int:
    """Where of all elements of a unit the bound is highest; of several the one nearest to the middle."""
    numbers: Ints = np.arange(box.low.size).reshape(box.low.shape)[_slice(aim, unit, box.low.ndim)].reshape(-1)
    ends = (box.high if aim.sign > 0 else -box.low).reshape(-1)[numbers]
    best = np.flatnonzero(ends >= ends.max())
    places = np.stack(np.unravel_index(numbers[best], box.low.shape), axis=1)
    middle = (np.array(box.low.shape) - 1) / 2
    return int(numbers[best[np.argmin(np.abs(places - middle).sum(axis=1))]])
