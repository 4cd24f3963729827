"""The Clopper-Pearson bound against published values and its own definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.bound import firing_bound_of, samples_for_bound


@pytest.mark.parametrize(
    ("fired", "samples", "bound"),
    [  # the regularised incomplete beta function inverted with mpmath, at 30 digits
        (0, 1, 0.95),
        (0, 10, 0.25886555089305),
        (1, 10, 0.3941633024365),
        (5, 10, 0.77755889899187),
        (9, 10, 0.99488380310818),
        (10, 100, 0.16371762327581),
        (3, 1000, 0.0077352447184795),
    ],
)
def test_the_bound_is_the_known_one(fired: int, samples: int, bound: float) -> None:
    assert firing_bound_of(fired, samples) == pytest.approx(bound, rel=1e-12)


def test_none_of_n_has_the_closed_form() -> None:
    for samples in (1, 59, 360, 10_000, 10**7):
        assert firing_bound_of(0, samples) == pytest.approx(1 - 0.05 ** (1 / samples), rel=1e-8)


@given(samples=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.999]))
def test_at_the_bound_so_few_firings_have_probability_one_minus_confidence(
    samples: int, share: float, confidence: float
) -> None:
    fired = min(int(share * samples), samples - 1)
    p = firing_bound_of(fired, samples, confidence)
    chance = math.fsum(math.comb(samples, i) * p**i * (1 - p) ** (samples - i) for i in range(fired + 1))
    assert chance == pytest.approx(1 - confidence, rel=1e-6)
    assert p > fired / samples


def test_all_fired_or_nothing_seen_bounds_nothing() -> None:
    assert firing_bound_of(7, 7) == 1.0
    assert firing_bound_of(0, 0) == 1.0


def test_a_million_samples_take_no_time() -> None:
    normal = 0.01 + 1.645 * (0.01 * 0.99 / 1e6) ** 0.5
    assert firing_bound_of(10_000, 1_000_000) == pytest.approx(normal, rel=1e-3)


@pytest.mark.parametrize(("fired", "samples", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 5, 0.0), (0, 5, 1.0)])
def test_senseless_counts_are_refused(fired: int, samples: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"not a count|not between"):
        firing_bound_of(fired, samples, confidence)


def test_59_samples_bound_the_share_by_five_percent() -> None:
    assert samples_for_bound(0.05) == 59
    assert firing_bound_of(0, 59) < 0.05 < firing_bound_of(0, 58)
