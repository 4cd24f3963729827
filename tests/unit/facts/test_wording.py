"""Sentences and names are cut where that loses least."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.wording import concise, cut_apart, cut_in_the_middle


@given(st.text(st.sampled_from("ab. \u2026"), max_size=200), st.integers(3, 120))
def test_a_sentence_has_at_most_so_many_characters(text: str, width: int) -> None:
    assert len(concise(text, width)) <= width
    assert len(text) > width or concise(text, width) == text


def test_a_long_name_is_cut_in_its_middle_and_the_advice_stays() -> None:
    name = "/".join(f"encoder.layer.{n}" for n in range(99))
    said = concise(f"{name}.onnx cannot be read: check the path.")
    assert said.startswith("encoder.layer.0/") and said.endswith(
        "encoder.layer.98.onnx cannot be read: check the path."
    )
    assert len(said) == 300


def test_a_sentence_without_a_long_name_is_cut_itself() -> None:
    said = concise("word " * 100 + "end.")
    assert said.startswith("word word") and said.endswith("end.") and len(said) == 300


@pytest.mark.parametrize("width", [3, 7, 8])
def test_what_is_cut_keeps_both_ends(width: int) -> None:
    cut = cut_in_the_middle("abcdefghi", width)
    assert (len(cut), cut[0], cut[-1]) == (width, "a", "i")


@pytest.mark.parametrize("width", [12, 16, 24])
def test_names_that_differ_in_their_middle_stay_apart_when_they_are_cut(width: int) -> None:
    parts = ("intermediate.dense", "output.LayerNorm")
    names = [f"bert.encoder.layer.{i}.{part}" for i in range(12) for part in parts] + ["head", "pooler", "classifier"]
    assert len({cut_in_the_middle(name, width) for name in names}) < len(names)
    shown = cut_apart(names, width)
    assert len(set(shown.values())) == len(names)
    assert all(len(text) <= width for text in shown.values())
    assert shown["head"] == "head"


def test_names_that_differ_at_the_ends_are_cut_in_the_middle() -> None:
    names = ["first/of/all/convolution/one", "last/of/all/convolution/two"]
    assert cut_apart(names, 16) == {name: cut_in_the_middle(name, 16) for name in names}


def test_a_name_that_begins_another_stays_apart() -> None:
    names = ["model.layers.block", "model.layers.block.relu", "model.layers.block.relu.1"]
    shown = cut_apart(names, 10)
    assert len(set(shown.values())) == 3
