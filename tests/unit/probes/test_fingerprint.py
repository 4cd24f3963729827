"""The fingerprint says which data it was, whatever the batch size, the container and the stored precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.graph import TensorType
from analyzer.probes.probe import open_probe

X = {"x": TensorType(np.dtype("f4"), (None, 3))}
ROWS = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)


def print_of(data: Any, size: int = 4, inputs: dict[str, TensorType] = X, **options: Any) -> str:
    probe = open_probe(data, inputs, **options)
    for _ in probe.batches(size):
        pass
    return probe.fingerprint


@given(st.integers(1, 12), st.lists(st.integers(1, 9), max_size=3))
def test_it_is_the_same_for_every_batch_size_and_every_way_the_data_was_cut(size: int, cuts: list[int]) -> None:
    expected = open_probe(ROWS, X).fingerprint
    assert expected.startswith("xxh3:")
    assert print_of(ROWS, size) == expected
    assert print_of(np.split(ROWS, sorted(set(cuts))), size) == expected


def test_it_is_the_same_after_looking_at_the_first_samples_and_after_part_of_a_pass() -> None:
    probe = open_probe(ROWS, X)
    probe.first(3)
    next(iter(probe.batches(3)))
    assert probe.fingerprint == print_of(ROWS)
    assert probe.fingerprint == print_of(ROWS)


def test_it_does_not_depend_on_the_precision_that_was_saved() -> None:
    assert print_of(ROWS.astype(np.float64)) == print_of(ROWS)


def test_it_differs_for_other_bytes_order_number_names_and_types() -> None:
    changed = ROWS.copy()
    changed[9, 2] += 1
    other_name = {"y": X["x"]}
    double = {"x": TensorType(np.dtype("f8"), (None, 3))}
    different = [
        print_of(ROWS),
        print_of(changed),
        print_of(ROWS[::-1]),
        print_of(ROWS[:9]),
        print_of(ROWS, inputs=other_name),
        print_of(ROWS, inputs=double),
        print_of(ROWS.reshape(10, 3, 1), inputs={"x": TensorType(np.dtype("f4"), (None, 3, 1))}),
    ]
    assert len(set(different)) == len(different)


def test_it_counts_constants_once_but_not_never() -> None:
    inputs = {**X, "sr": TensorType(np.dtype("i8"), ())}

    def with_rate(rate: int, size: int = 4) -> str:
        return print_of({"x": ROWS, "sr": np.int64(rate)}, size, inputs)

    assert with_rate(8000) == with_rate(8000, 3) != with_rate(16000)


def test_it_covers_text() -> None:
    inputs = {"x": TensorType(np.dtype(object), (None, 1))}
    assert print_of(np.array([["ab"], ["c"]]), inputs=inputs) != print_of(np.array([["a"], ["bc"]]), inputs=inputs)
    assert print_of(np.array([["ab"], ["c"]]), 1, inputs) == print_of(np.array([["ab"], ["c"]]), 2, inputs)


def test_it_is_the_same_for_stacked_samples_at_every_batch_size() -> None:
    inputs = {"x": TensorType(np.dtype("f4"), (3,))}
    assert print_of(ROWS, 1, inputs) == print_of(ROWS, 8, inputs) == print_of(list(ROWS), 8, inputs)


def test_a_generators_fingerprint_grows_with_what_was_handed_out() -> None:
    def feeds() -> Iterator[Any]:
        yield from np.split(ROWS, 5)

    probe = open_probe(feeds(), X)
    passed = probe.batches(4)
    next(passed)
    assert probe.fingerprint == print_of(ROWS[:4])
    for _ in passed:
        pass
    assert probe.fingerprint == print_of(ROWS)


@pytest.mark.parametrize("limit", [1, 4, 10, 11])
def test_it_covers_what_the_limit_lets_through(limit: int) -> None:
    assert print_of(ROWS, limit=limit) == print_of(ROWS[:limit])
