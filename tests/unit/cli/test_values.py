"""Texts of options become values, or say what to write instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.cli.options import ImageFlags, JudgeOptions
from analyzer.cli.values import dims_of, fraction_of, numbers_of, size_of, unit_of
from analyzer.errors import InputError


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
    assert ImageFlags().chosen() is None


def test_flags_change_a_preset() -> None:
    chosen = ImageFlags(image_preset="imagenet", image_size="96", std="1").chosen()
    assert chosen is not None
    assert (chosen.size, chosen.std, chosen.mean) == ((96, 96), (1.0,), (0.485, 0.456, 0.406))


def test_flags_alone_are_options() -> None:
    chosen = ImageFlags(scale="1/255", layout="NHWC", channels="BGR", mean="0.5,0.5,0.5").chosen()
    assert chosen is not None
    assert (chosen.scale, chosen.layout, chosen.channels) == (1 / 255, "NHWC", "BGR")


def test_one_scale_only() -> None:
    with pytest.raises(InputError, match="one number"):
        ImageFlags(scale="1,2,3").chosen()


def test_near_dead_changes_the_preset_that_uses_it() -> None:
    assert JudgeOptions(near_dead="5%").thresholds().near_dead == 0.05
    with pytest.raises(InputError, match="does not use"):
        JudgeOptions(preset="dormant", near_dead="5%").thresholds()
