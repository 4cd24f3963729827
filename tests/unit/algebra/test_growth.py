"""Keep vectors: growing ones, and final ones that nobody can change."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.algebra.growth import Growth


def test_keep_vectors_only_grow_and_report_what_changed() -> None:
    seen: list[str] = []
    keeps = Growth({"a": (3,), "b": (3,)}, seen.append)
    for _ in range(2):
        keeps.grow(("a", 0), np.array([True, False, False]))
        keeps.grow(("b", 0), keeps.get(("a", 0)))
    keeps.grow(("a", 0), np.zeros(3, np.bool_))
    assert seen == ["a", "b"]
    assert keeps.alive("b")
    assert keeps.shape("b") == (1,)


def test_the_smallest_box_around_needed_elements_is_kept() -> None:
    keeps = Growth({"a": (2, 3)})
    keeps.need("a", np.array([[False, True, False], [False, False, True]]))
    assert [v.tolist() for v in keeps.vectors("a")] == [[True, True], [False, True, True]]


def test_an_axis_that_must_exist_keeps_its_first_index_or_waits() -> None:
    waiting: list[object] = []
    keeps, patient = Growth({"a": (3,)}), Growth({"a": (3,)}, some_of=waiting.append)
    for growth in (keeps, patient):
        growth.keep_one(("a", 0))
    assert keeps.get(("a", 0)).tolist() == [True, False, False]
    assert not patient.alive("a")
    assert waiting == [("a", 0)]


def test_a_value_of_no_elements_is_alive_once_it_is_kept() -> None:
    keeps = Growth({"a": (0,)})
    assert not keeps.alive("a")
    keeps.pin("a")
    assert keeps.alive("a")


def test_what_is_final_is_not_changed_by_reading_writing_or_growing_on() -> None:
    growth = Growth({"a": (3,), "b": (2,)})
    growth.grow(("a", 0), np.array([True, False, False]))
    keeps = growth.final()
    growth.pin("a")
    assert not keeps.vectors("b")[0].any()  # reading makes nothing alive
    assert not keeps.alive("b")
    with pytest.raises(ValueError, match="read-only"):
        keeps.get(("a", 0))[:] = True
    assert not hasattr(keeps, "grow")
    assert keeps.shape("a") == (1,)
