"""Budgets: how they are spelled, what they allow, and what is said of a spelling that makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.errors import InputError
from analyzer.facts.budgets import Budgets, Limit, budgets_of, expected_of, limit_of


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        (5, Limit(count=5)),
        ("5", Limit(count=5)),
        (0, Limit(count=0)),
        ("5%", Limit(share=0.05)),
        ("5 %", Limit(share=0.05)),
        ("100%", Limit(share=1.0)),
        (0.05, Limit(share=0.05)),
        ("0.5", Limit(share=0.5)),
        ("0%", Limit(share=0.0)),
    ],
    ids=repr,
)
def test_a_limit_is_a_count_or_a_share(written: Any, limit: Limit) -> None:
    assert limit_of(written, "max-dead") == limit


@pytest.mark.parametrize(
    "written", ["", "x", "-1", -1, "101%", 1.0, "1.0", "2.5", "nan", "inf%", True, None, [5], "5%%"], ids=repr
)
def test_other_limits_are_refused_by_name(written: Any) -> None:
    with pytest.raises(InputError, match=r"max-dead = .* is not a limit: write a count"):
        limit_of(written, "max-dead")


def test_a_limit_allows_itself_and_no_more() -> None:
    assert not Limit(count=3).exceeded(3, 10)
    assert Limit(count=3).exceeded(4, 10)
    assert not Limit(share=0.3).exceeded(3, 10)
    assert not Limit(share=0.07).exceeded(
        7, 100
    )  # 0.07 * 100 is a little more than 7, 0.29 * 100 a little less than 29
    assert not Limit(share=0.29).exceeded(29, 100)
    assert Limit(share=0.29).exceeded(30, 100)
    assert Limit(share=0.0).exceeded(1, 10**9)


def test_the_last_pattern_that_matches_holds() -> None:
    limits = budgets_of({"max-dead-layer": {"/head/*": 3, "*": "50%", "/head/2": 9}}).max_dead_layer
    assert limits.for_any(["/stem"]) == Limit(share=0.5)
    assert limits.for_any(["/head/1"]) == Limit(count=3)
    assert limits.for_any(["/head/2"]) == Limit(count=9)


def test_a_name_with_brackets_matches_itself() -> None:
    limits = budgets_of({"max-dead-layer": {"layer[0]": 1}}).max_dead_layer
    assert limits.for_any(["layer[0]", "node", "Relu"]) == Limit(count=1)
    assert limits.for_any(["layer0"]) == Limit(count=1)  # a pattern as well
    assert limits.for_any(["other"]) is None


def test_flags_win_and_lists_are_joined() -> None:
    stored = budgets_of(
        {
            "max-dead": "5%",
            "max-near-dead": 3,
            "max-dead-layer": {"*": "50%", "/a": 1},
            "ignore": ["DU001"],
            "min-samples": 9,
        }
    )
    given = budgets_of({"max_dead": "10%", "max-dead-layer": "20%", "ignore": "du002", "severity": {"DU003": "error"}})
    both = stored.overridden_by(given)
    assert both.max_dead == Limit(share=0.1)
    assert both.max_near_dead == Limit(count=3)
    assert both.max_dead_layer.for_any(["x"]) == Limit(share=0.2)
    assert both.max_dead_layer.for_any(["/a"]) == Limit(count=1)
    assert (both.ignore, both.min_samples, both.severity) == (("DU001", "DU002"), 9, {"DU003": "error"})


def test_nothing_is_limited_by_default() -> None:
    assert not Budgets().any_limit
    assert not budgets_of({"ignore": ["DU001"]}).any_limit
    assert budgets_of({"max-dead": 0}).any_limit
    assert budgets_of({"max-dead-layer": 3}).any_limit
    assert budgets_of({"min-judged": "90%"}).any_limit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max-ded": 5}, r"there is no setting 'max-ded': did you mean max-dead"),
        ({"quite-different": 5}, r"no setting 'quite-different'; there are max-dead, "),
        ({"max-dead-layer": {"a": "x"}}, r"max-dead-layer\['a'\] = 'x' is not a limit"),
        ({"min-samples": "many"}, "not a number of samples"),
        ({"min-samples": True}, "not a number of samples"),
        ({"min-judged": 5}, "not a share: write 90% or 0.9"),
        ({"min-judged": "most"}, "not a limit"),
        ({"ignore": 3}, "not a list of texts"),
        ({"ignore": ["DU3"]}, "not a finding code: write for example DU003"),
        ({"severity": "error"}, "not a table"),
        ({"severity": {"DU003": "fatal"}}, "choose one of error, warning, note, off"),
        ({"expect-dead": ["relu"]}, "not VALUE:UNITS"),
    ],
)
def test_what_makes_no_sense_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        budgets_of(settings, "deadunits.toml")


def test_expected_units_are_ranges_after_the_last_colon() -> None:
    assert expected_of("dense/Relu:0:0-2,7", "x").units == frozenset({0, 1, 2, 7})
    assert expected_of("dense/Relu:0:0-2,7", "x").pattern == "dense/Relu:0"
    assert expected_of("/head/*:*", "x").units is None
    for text in ("relu:3-1", "relu:", ":3", "relu:a", "relu:0-99999999"):
        with pytest.raises(InputError, match="not VALUE:UNITS"):
            expected_of(text, "x")
