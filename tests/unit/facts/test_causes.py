"""Causes as values: counts, risk, histogram, and what a prune may take by distance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analyzer.facts.causes import SUMMARIES, CauseCode, LayerDiagnosis, UnitCause
from analyzer.facts.choice import Choice
from analyzer.facts.remedies import ADVICE, remedies
from tests.made import by_weights, first_dead

BIAS, STARVED = CauseCode.BIAS_DOMINATES, CauseCode.STARVED


def diagnosis() -> LayerDiagnosis:
    causes = (
        UnitCause(0, BIAS, "low", 3.0),
        UnitCause(1, BIAS, "low", 0.2),
        UnitCause(4, STARVED, "all dead", None, ("P", 7)),
    )
    return LayerDiagnosis("Y", causes, (3.0, 0.2, None, -1.0, None))


def test_every_cause_has_a_summary_and_advice() -> None:
    assert set(SUMMARIES) == set(CauseCode) == set(ADVICE)


def test_every_cause_is_explained_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "causes.md").read_text(encoding="utf-8")
    assert all(f"| `{code}` |" in text for code in CauseCode)


def test_the_most_frequent_cause_comes_first() -> None:
    assert list(diagnosis().counts().items()) == [(BIAS, 2), (STARVED, 1)]


def test_the_unit_nearest_to_waking_comes_first() -> None:
    assert [cause.unit for cause in diagnosis().by_risk()] == [1, 0]


def test_the_histogram_counts_every_distance_once() -> None:
    assert [count for _, count in diagnosis().histogram()] == [1, 0, 0, 1, 0, 0]
    assert sum(count for _, count in diagnosis().histogram((1.0, 2.0))) == 2


def test_sentences_name_the_root() -> None:
    assert any("unit 7 of P" in line for line in diagnosis().sentences(4))
    assert diagnosis().sentences(2) == diagnosis().sentences(3) == []


def test_advice_says_how_many_units_are_near_firing() -> None:
    told = remedies({BIAS: 2}, [3.0, 0.2], 2)
    assert any(line.startswith("1 of them lie") for line in told)
    assert any("None of them" in line for line in remedies({BIAS: 1}, [3.0], 1))


def test_a_prune_takes_only_units_far_from_waking() -> None:
    layer = replace(first_dead(5, 3, "Y"), distances=(3.0, 0.2, None, -1.0, None))
    assert Choice().allowed(layer) == [0, 1, 2]
    assert Choice(min_distance=2.0).allowed(layer) == [0]
    assert Choice(min_distance=2.0).allowed(by_weights(layer, 1)) == [0, 1]


def test_without_measurements_a_distance_takes_nothing_observed() -> None:
    assert Choice(min_distance=2.0).allowed(first_dead(5, 3, "Y")) == []
