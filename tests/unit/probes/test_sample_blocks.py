"""Blocks of samples are the same whatever others are read; what is known of parts adds up to what is known of all."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.sample_ranges import first_overlap, gaps, joined, number_in
from analyzer.graph import TensorType
from analyzer.probes.images import ImageReader
from analyzer.probes.probe import Probe, open_probe, random_probe
from analyzer.probes.stored_feeds import restored, stored, stored_probe

X = {"x": TensorType(np.dtype("f4"), (None, 3))}
FREE = {"x": TensorType(np.dtype("f4"), (None, None))}
PAIRS = {"x": TensorType(np.dtype("f4"), (2, 3))}  # two samples at a time
TEXT = {"x": TensorType(np.dtype(object), (None, 3))}
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((22, 3)).astype(np.float32)
LENGTHS = [np.full((1, 2 + n % 2), n, np.float32) for n in (0, 0, 1, 1, 0, 1, 0, 0, 0)]
CASES = [
    (ROWS, X, None),
    (np.split(ROWS, [5, 6, 13]), X, None),
    (ROWS, X, 9),
    (ROWS, PAIRS, None),
    (LENGTHS, FREE, None),
    (list(ROWS), {"x": TensorType(np.dtype("f4"), (3,))}, 7),  # an axis more: one sample for each feed
    (ROWS.astype(str), TEXT, None),
]


def blocks(probe: Probe, size: int, feed: int, chosen: Callable[[int], bool]) -> dict[int, list[list[bytes]]]:
    size = probe.block_size(size)
    return {
        block.number: [[a.tobytes() if a.dtype != object else str(a).encode() for a in b.feeds.values()]
                       for b in block.batches]
        for block in probe.blocks(size, feed, chosen)
    }  # fmt: skip


@pytest.mark.parametrize(("data", "inputs", "limit"), CASES)
@pytest.mark.parametrize("feed", [1, 4])
def test_a_block_is_the_same_whatever_others_are_read(data: Any, inputs: Any, limit: int | None, feed: int) -> None:
    whole = open_probe(data, inputs, limit=limit)
    every = blocks(whole, 4, feed, lambda _: True)
    counts = len(range(0, whole.samples or 0, 4))
    assert [*every] == [*range(counts)]
    record = open_probe(data, inputs, limit=limit).record
    for part in range(3):
        probe = open_probe(data, inputs, limit=limit)
        some = blocks(probe, 4, feed, lambda block, part=part: block % 3 == part)  # type: ignore[misc]
        assert some == {number: feeds for number, feeds in every.items() if number % 3 == part}
        assert probe.samples == whole.samples  # known once all of the data was passed
        record.merge(probe.record)
    in_one_pass = open_probe(data, inputs, limit=limit)
    for _ in in_one_pass.batches(5 if in_one_pass.step == 1 else 6):
        pass
    assert record.ranges == whole.record.ranges == ((0, whole.samples),)
    assert record.fingerprint == whole.fingerprint == in_one_pass.fingerprint
    expected = in_one_pass.condition({}, ())
    assert record.condition({}, (), ()) == whole.condition({}, ()) == expected


def test_what_never_varies_in_any_part_but_between_them_varies() -> None:
    data = np.repeat(np.arange(3, dtype=np.float32), 4)[:, np.newaxis] * [0, 1, 0] + [7, 0, 1]
    record = open_probe(data, X).record
    for part in (2, 0, 1):
        probe = open_probe(data, X)
        list(probe.blocks(4, 4, part.__eq__))
        record.merge(probe.record)
    still = record.watch.inputs["x"].still
    assert still.tolist() == [0, 2]


def test_images_of_other_shards_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(20):
        image.new("L", (8, 8), number).save(tmp_path / f"{number:02}.png")
    read, reader = [], ImageReader.read

    def counted(self: ImageReader, path: Path, name: str) -> Any:
        read.append(name)
        return reader(self, path, name)

    monkeypatch.setattr(ImageReader, "read", counted)
    probe = open_probe(tmp_path, {"x": TensorType(np.dtype("f4"), (None, 1, 8, 8))})
    assert [block.number for block in probe.blocks(4, 4, lambda block: block == 3)] == [3]
    assert sorted(set(read)) == ["00.png", *(f"{n:02}.png" for n in range(12, 16))]
    assert probe.record.ranges == ((12, 16),)
    assert probe.samples == 20


def test_drawn_samples_come_in_blocks_too() -> None:
    probes = [random_probe(X, samples=10, seed=1) for _ in range(2)]
    every = blocks(probes[0], 4, 4, lambda _: True)
    assert blocks(probes[1], 4, 4, lambda block: block == 1) == {1: every[1]}


@pytest.mark.parametrize(("data", "inputs", "limit"), CASES)
def test_the_first_feeds_can_be_kept_and_given_again(data: Any, inputs: Any, limit: int | None) -> None:
    probe = open_probe(data, inputs, limit=limit)
    parts = probe.first_parts(4)
    again = stored_probe(restored(*stored(parts), inputs), "again", random=False)
    assert (again.batchable, again.step, again.fixed) == (probe.batchable, probe.step, probe.fixed)
    for one, other in zip(probe.first(4), again.first(4), strict=True):
        assert one.samples == other.samples
        for name, array in one.feeds.items():
            assert array.dtype == other.feeds[name].dtype
            assert np.array_equal(array, other.feeds[name])


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)).map(lambda pair: (pair[0], sum(pair))), max_size=6)


@given(RANGES)
def test_ranges_are_sets_of_numbers(ranges: list[tuple[int, int]]) -> None:
    numbers = [number for start, stop in ranges for number in range(start, stop)]
    together = joined(ranges)
    assert [n for start, stop in together for n in range(start, stop)] == sorted(set(numbers))
    assert all(stop < start for (_, stop), (start, _) in pairwise(together))
    twice = first_overlap(ranges)
    assert (twice is None) == (len(numbers) == len(set(numbers)))
    if twice is not None:
        assert all(numbers.count(number) > 1 for number in range(*twice))
    lacking = [n for start, stop in gaps(together, 40) for n in range(start, stop)]
    assert sorted({*range(40)} - set(numbers)) == lacking
    assert number_in(together) == len(set(numbers))
