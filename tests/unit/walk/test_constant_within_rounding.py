"""What is constant up to rounding is no seed of what hangs on its last digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.facts.choice import Choice
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.verdicts import verdicts_of
from analyzer.units import select_units
from analyzer.walk.flow import Seed, constants_within_rounding
from tests.models import context, parse

ULP = float(np.finfo(np.float32).eps) / 2  # of numbers just below 1
MODEL = "y (float[n, 2] x) => (float[n, 2] y) {{ t = Tanh(x) s = {first} c = {second} y = Add(c, x) }}"


def derived(first: str, second: str, spread: float) -> list[bool]:
    """Whether the units of c are derived, where those of t were seen to be 1, or so far below it."""
    stored = {"one": np.ones(2, np.float32), "large": np.full(2, 1e7, np.float32)}
    model = parse(MODEL.format(first=first, second=second), stored)
    walked = context(model, {"x": np.ones((1, 2), np.float32)})
    (tanh,) = [a for a in select_units(walked.graph, walked.table) if a.op == "Tanh"]
    seen = replace(
        UnitStatistics.empty(2), samples=9, minimum=np.array([1.0 - spread, 1.0]), maximum=np.array([1.0, 1.0])
    )
    verdicts = verdicts_of(tanh, seen, Thresholds())
    assert verdicts.dead == (0, 1)
    seed = Seed.of(verdicts, Choice().constants(verdicts))
    assert seed.exact == (spread == 0)
    found = constants_within_rounding(walked, {"t": seed}, {})["c"]
    return [bool(known) for known in np.broadcast_to(found.known, (1, 2))[0]]


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [
        ("Sub(t, one)", "Mul(s, large)", [False, True]),  # 2 units in the last place are all that is left
        ("Equal(t, one)", "Cast<to=1>(s)", [False, False]),  # nothing is told apart within one value here
        ("Mul(t, large)", "Add(s, one)", [True, True]),  # as inexact as before
        ("Relu(t)", "Sigmoid(s)", [True, True]),
    ],
)
def test_what_hangs_on_the_last_digits_is_derived_from_exact_units_only(
    first: str, second: str, holds: list[bool]
) -> None:
    assert derived(first, second, 0.0) == [True, True]
    assert derived(first, second, 2 * ULP) == holds
