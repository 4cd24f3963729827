"""The Clopper-Pearson bound for units that never fired."""

from __future__ import annotations

import pytest

from analyzer.facts.bound import firing_bound_of, samples_for_bound


@pytest.mark.parametrize(("samples", "bound"), [(1, 0.95), (10, 0.25886555089305)])
def test_the_bound_is_the_known_one(samples: int, bound: float) -> None:
    assert firing_bound_of(samples) == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("samples", [1, 59, 360, 10_000, 10**7])
def test_at_the_bound_no_firing_has_probability_five_percent(samples: int) -> None:
    assert firing_bound_of(samples) == pytest.approx(1 - 0.05 ** (1 / samples), rel=1e-8)


def test_nothing_seen_bounds_nothing() -> None:
    assert firing_bound_of(0) == 1.0


def test_59_samples_bound_the_share_by_five_percent() -> None:
    assert samples_for_bound(0.05) == 59
    assert firing_bound_of(59) < 0.05 < firing_bound_of(58)
