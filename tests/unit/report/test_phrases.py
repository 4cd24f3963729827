"""Numbers and names as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.wording import counted, number, share, size, unit_ranges
from analyzer.report.phrases import bar, printable, shortened


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999_999, "999,999"), (25_600_000, "25.6 M"), (4_090_000_000, "4.09 G")]
)
def test_large_numbers_are_short(count: int, text: str) -> None:
    assert number(count) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (52_700, "52.7 kB"), (97_800_000, "97.8 MB")])
def test_sizes_have_units(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (1, 2, "50 %"),
        (1, 3, "33.3 %"),
        (1, 100, "1 %"),
        (3, 0, "0 %"),
    ],
)
def test_shares_never_round_to_nothing_or_everything(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


def test_one_is_singular() -> None:
    assert (counted(1, "unit"), counted(2, "unit")) == ("1 unit", "2 units")


@given(st.text(max_size=60), st.integers(8, 40))
def test_a_shortened_name_fits_and_is_printable(name: str, width: int) -> None:
    short = shortened(name, width)
    assert len(short) <= width
    assert short.isprintable()


def test_both_ends_of_a_long_name_stay() -> None:
    short = shortened("/backbone/layer1/layer1.0/conv1/Conv_output_0", 20)
    assert short.startswith("/back")
    assert short.endswith("output_0")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in printable("\x1b[31mred")


@given(st.floats(0, 1), st.integers(2, 30))
def test_a_bar_is_empty_only_for_nothing_and_full_only_for_everything(ratio: float, width: int) -> None:
    drawn = bar(ratio, width)
    assert len(drawn) == width
    assert ("█" in drawn) == (ratio > 0)
    assert ("░" in drawn) == (ratio < 1)


def test_neighbouring_units_are_joined() -> None:
    assert unit_ranges((0, 1, 2, 5, 7, 8)) == "0-2, 5, 7-8"
    assert unit_ranges(tuple(range(0, 40, 2)), most=2) == "0, 2, …"
