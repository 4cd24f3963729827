"""Sentences and names are cut where that loses least."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.wording import concise, cut_in_the_middle


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
