"""Feeds that are read before their turn come in their order, and so do errors of the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.observe import read_ahead
from analyzer.observe.read_ahead import ReadAhead
from analyzer.probes.sample_blocks import Batch


def _batches(count: int, then: Exception | None = None) -> Iterator[Batch]:
    yield from (Batch({"x": np.full(4, i, np.float32)}, 1) for i in range(count))
    if then is not None:
        raise then


def _numbers(batches: list[Batch]) -> list[int]:
    return [int(batch.feeds["x"][0]) for batch in batches]


def test_what_was_not_taken_comes_again() -> None:
    ahead = ReadAhead(_batches(5))
    assert _numbers(ahead.first(3)) == [0, 1, 2]
    assert _numbers(ahead.first(2)) == [0, 1]
    ahead.take(2)
    assert _numbers(ahead.first(9)) == [2, 3, 4]
    ahead.take(3)
    assert ahead.first(1) == []


def test_data_that_cannot_be_read_says_so_in_its_turn() -> None:
    ahead = ReadAhead(_batches(2, ProbeError("row 3 is no number")))
    assert _numbers(ahead.first(4)) == [0, 1]
    ahead.take(1)
    assert _numbers(ahead.first(4)) == [1]
    ahead.take(1)
    with pytest.raises(ProbeError, match="row 3"):
        ahead.first(1)


def test_no_more_is_read_than_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 40)  # of feeds of 16 bytes each
    ahead = ReadAhead(_batches(5))
    assert _numbers(ahead.first(4)) == [0, 1, 2]
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 0)
    assert _numbers(ReadAhead(_batches(5)).first(4)) == [0]
