"""Texts of options become values, or say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import Budgets, Choice, Data, InputError, Run
from analyzer.cli.flags import GROUPS
from analyzer.cli.reading_flags import data_of
from analyzer.cli.values import dims_of, fraction_of, number_of, numbers_of, size_of, unit_of
from analyzer.facts.thresholds import PRESETS


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("1/4", 0.25), ("0", 0)])
def test_shares_are_written_as_people_do(text: str, share: float) -> None:
    assert fraction_of(text) == pytest.approx(share)


def test_sizes_are_height_and_width() -> None:
    assert size_of("224") == (224, 224)
    assert size_of("240X320") == (240, 320)


def test_units_are_cut_at_the_last_colon() -> None:
    assert unit_of("dense/Relu:0:5") == ("dense/Relu:0", 5)


def test_dims_have_names() -> None:
    assert dims_of(["batch=2", "a=b=3"]) == {"batch": 2, "a=b": 3}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (fraction_of, "many"),
        (fraction_of, "101%"),
        (fraction_of, "-1%"),
        (fraction_of, "1/0"),
        (fraction_of, "nan"),
        (lambda text: numbers_of(text, "--mean"), "0.5,,0.5"),
        (size_of, "0"),
        (size_of, "1x2x3"),
        (size_of, "٣"),
        (unit_of, "relu"),
        (unit_of, ":3"),
        (unit_of, "relu:-1"),
        (lambda text: dims_of([text]), "batch"),
        (lambda text: dims_of([text]), "=3"),
        (lambda text: dims_of([text]), "batch=0"),
        (fraction_of, "1e999999999"),
    ],
)
def test_nonsense_is_refused_with_an_example(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(InputError, match="write"):
        parse(text)


@given(st.text(max_size=12))
def test_no_text_makes_a_parser_crash(text: str) -> None:
    parsers: list[Callable[[str], object]] = [fraction_of, size_of, unit_of, lambda t: numbers_of(t, "--std")]
    for parse in parsers:
        try:
            parse(text)
        except InputError:
            continue


def test_without_image_flags_there_are_no_options() -> None:
    assert data_of(probe="images").images is None


def test_flags_change_a_preset() -> None:
    chosen = data_of(probe="images", image_preset="imagenet", size=(96, 96), std=(1.0,)).images
    assert chosen is not None
    assert (chosen.size, chosen.std, chosen.mean) == ((96, 96), (1.0,), (0.485, 0.456, 0.406))


def test_flags_alone_are_options() -> None:
    chosen = data_of(probe="images", scale=1 / 255, layout="NHWC", channels="BGR", mean=(0.5, 0.5, 0.5)).images
    assert chosen is not None
    assert (chosen.scale, chosen.layout, chosen.channels) == (1 / 255, "NHWC", "BGR")


def test_one_scale_only() -> None:
    with pytest.raises(InputError, match="one number"):
        number_of("1,2,3", "--scale")


def test_near_dead_changes_the_preset_that_uses_it() -> None:
    assert PRESETS["default"].with_near_dead(0.05).near_dead == 0.05
    with pytest.raises(InputError, match="does not use"):
        PRESETS["dormant"].with_near_dead(0.05)


@pytest.mark.parametrize("kind", [Data, Run, Choice, Budgets])
def test_every_field_has_a_flag(kind: type) -> None:
    elsewhere = {"images", "audio", "text", "units", "lossy"}  # flags of their own, or an argument of the command
    assert {field.name for field in fields(kind) if field.init} - elsewhere <= set(GROUPS[kind].flags)
