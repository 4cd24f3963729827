"""Patterns and keep vectors by example."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants


@pytest.mark.parametrize(
    ("source", "target", "groups"),
    [
        ((2, 3, 4), (2, 12), [([0], [0]), ([1, 2], [1])]),
        ((6, 4), (2, 3, 4), [([0], [0, 1]), ([1], [2])]),
        ((4, 3), (3, 4), [([0, 1], [0, 1])]),
        ((1, 5), (5, 1), [([0], []), ([], [1]), ([1], [0])]),
        ((), (), []),
    ],
)
def test_a_reshape_splits_into_the_finest_groups(
    source: tuple[int, ...], target: tuple[int, ...], groups: list[tuple[list[int], list[int]]]
) -> None:
    assert pattern.reshape_groups(source, target) == groups


def test_a_reshaped_pattern_stays_small() -> None:
    channels = np.array([True, False, True]).reshape(1, 3, 1, 1)
    assert pattern.reshape(channels, (5, 3, 4, 4), (5, 3, 16)).shape == (1, 3, 1)
    flat = pattern.reshape(channels, (5, 3, 2, 2), (5, 12))
    assert flat.tolist() == [[True] * 4 + [False] * 4 + [True] * 4]


def test_a_taken_pattern_fills_gaps() -> None:
    taken = pattern.take(np.array([[1.0, 2.0]]), 1, np.array([1, -1, 0]), 9.0)
    assert taken.tolist() == [[2.0, 9.0, 1.0]]
    assert pattern.put_any(np.array([[True, True, False]]), 1, np.array([1, -1, 0]), 2).tolist() == [[False, True]]


def test_a_mask_folds_back_onto_a_broadcast_operand() -> None:
    mask = np.array([[[True, False]], [[False, False]]])
    assert pattern.any_to(mask, (1, 2)).tolist() == [[True, False]]
    assert pattern.any_to(mask, (1,)).tolist() == [True]
    assert pattern.any_to(mask, ()).tolist() is True


def test_a_slice_is_one_constant_only_where_all_its_elements_agree() -> None:
    facts = Constants(np.array([[True, True, True], [True, True, False]]), np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 3.0]]))
    known, value = facts.per_index(1, 3)
    assert known.tolist() == [True, False, False]
    assert value[0] == 1


def test_a_seed_adds_to_what_is_known_and_what_was_seen_comes_first() -> None:
    facts = Constants(np.array([[True, True, False]]), np.array([[7.0, 5.0, 0.0]]))
    seeded = facts.with_seed(1, np.array([0, 2]), np.array([8.0, 9.0]), 3)
    assert seeded.known.tolist() == [[True, True, True]]
    assert seeded.number.tolist() == [[8.0, 5.0, 9.0]]
