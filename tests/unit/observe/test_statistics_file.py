"""A file of statistics gives back what was written; whatever else it holds, one sentence says that it is damaged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import analyzer
from analyzer import Data, Run
from analyzer.errors import InputError
from analyzer.facts.statistics import UnitStatistics
from analyzer.observe.statistics_file import Description, read_statistics, to_bytes
from tests.models import Array, parse

MODEL = parse(
    """g (float[N, 3, 4] x, int64[N, 2] ids, string[N] words) => (float[N, 4] y, int64[N, 2] z, string[N] w) {
    r = Relu(x)
    y = ReduceMax<keepdims=0>(r, axis)
    two = Constant<value = int64[1] {2}>()
    z = Mul(ids, two)
    w = Identity(words)
    }""",
    {"axis": np.array([1], np.int64)},
)
RNG = np.random.default_rng(0)
DATA = {
    "x": RNG.standard_normal((9, 3, 4)).astype(np.float32),
    "ids": np.arange(18).reshape(9, 2) + (1 << 60),
    "words": np.array([f"wörd {n}\0" for n in range(9)], object),
}


@pytest.fixture(scope="module")
def content() -> bytes:
    return to_bytes(analyzer.take_statistics(MODEL, Data(DATA), run=Run(batch_size=2))._tallies)


def arrays_of(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)


def written(path: Path, arrays: dict[str, Any], pack: Callable[..., Any] = np.savez) -> Path:
    with path.open("wb") as stream:
        pack(stream, **arrays)
    return path


def described(content: bytes, **changes: Any) -> Array:
    arrays = arrays_of(content)
    description = msgspec.json.decode(arrays["description"].tobytes(), type=Description)
    changed = msgspec.structs.replace(description, **changes)
    return np.frombuffer(msgspec.json.encode(changed), np.uint8)


def refused(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_statistics(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_what_was_written_is_read_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.stats"
    path.write_bytes(content)
    tallies = read_statistics(path)
    assert to_bytes(tallies) == content
    taken = analyzer.take_statistics(MODEL, Data(DATA), run=Run(batch_size=2))._tallies
    assert tallies.job == taken.job
    assert tallies.record.ranges == ((0, 9),)
    assert tallies.beginning == taken.beginning
    for value, seen in taken.counted.statistics.items():
        for field in fields(UnitStatistics):
            assert np.array_equal(getattr(seen, field.name), getattr(tallies.counted.statistics[value], field.name))


def test_the_order_of_merging_does_not_show_in_the_bytes(content: bytes, tmp_path: Path) -> None:
    parts = [analyzer.take_statistics(MODEL, Data(DATA), shard=f"{i}/3", run=Run(batch_size=2)) for i in (1, 2, 3)]
    files = {
        to_bytes(analyzer.merge_statistics(order)._tallies) for order in (parts, parts[::-1], parts[1:] + parts[:1])
    }
    assert len(files) == 1


def test_a_file_that_is_cut_short_or_has_a_wrong_byte_is_refused_or_says_the_same(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.stats"
    for length in range(0, len(content), 997):
        path.write_bytes(content[:length])
        refused(path)
    for place in range(0, len(content), 331):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            tallies = read_statistics(path)
        except InputError:
            continue
        assert to_bytes(tallies) == content, place  # as where the date of a member changed


WRONG: list[dict[str, Any]] = [
    {"fired": np.full(4, -1)},
    {"fired": np.full(4, 10)},
    {"fired": np.zeros(5, np.int64)},
    {"fired": np.zeros(4)},
    {"maximum": np.full(4, np.nan)},
    {"ranges": np.array([[5, 2]])},
    {"ranges": np.array([[0, 5], [5, 9]])},
    {"ranges": np.array([[-3, 6]])},
    {"ranges": np.array([[0, 1 << 40]])},
    {"ranges": np.array([0, 9])},
    {"hashes": np.zeros(8, np.uint64)},
    {"still_0": np.zeros(400, np.uint8)},
    {"peaks": np.zeros((2, 3))},
    {"description": np.frombuffer(b"{", np.uint8)},
    {"description": np.frombuffer(b"[" * 100_000, np.uint8)},
    {"description": np.zeros((3, 3), object)},
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_arrays_that_do_not_fit_are_refused(content: bytes, case: int, tmp_path: Path) -> None:
    refused(written(tmp_path / "a.stats", arrays_of(content) | WRONG[case]))


@pytest.mark.parametrize("name", ["description", "ranges", "hashes", "minimum", "feed_0", "still_1"])
def test_arrays_that_are_missing_are_refused(content: bytes, name: str, tmp_path: Path) -> None:
    arrays = arrays_of(content)
    del arrays[name]
    refused(written(tmp_path / "a.stats", arrays))


def test_descriptions_that_do_not_fit_are_refused(content: bytes, tmp_path: Path) -> None:
    layers = msgspec.json.decode(arrays_of(content)["description"].tobytes(), type=Description).layers
    wrong: list[dict[str, Any]] = [
        {"samples": -1},
        {"samples": 3},
        {"total": 8},
        {"digest": "?"},
        {"layers": ()},
        {"layers": (msgspec.structs.replace(layers[0], units=1 << 62), *layers[1:])},
    ]
    for changes in wrong:
        refused(written(tmp_path / "a.stats", arrays_of(content) | {"description": described(content, **changes)}))


def test_a_file_that_says_it_holds_more_than_it_does_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "packed.stats", arrays_of(content), np.savez_compressed)
    refused(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fired.npy", header.getvalue() + b"\0" * 64)
    refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fired.npy", header.getvalue() + b"\0" * (1 << 24))
    refused(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, data in (("empty", b""), ("text", b"hello"), ("zip", b"PK\3\4" + b"\0" * 99)):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name)
    refused(tmp_path / "nowhere.stats")
    refused(tmp_path)
    refused(written(tmp_path / "probe.npz", {"x": np.zeros(3)}))


def test_first_samples_that_do_not_fit_the_model_are_refused(content: bytes, tmp_path: Path) -> None:
    feeds = msgspec.json.decode(arrays_of(content)["description"].tobytes(), type=Description).feeds
    array = feeds[0].arrays[0]
    for changed in (
        replace(array, input="other"),
        replace(array, shape=(1, 3, -4)),
        replace(array, shape=(2, 3, 2)),
    ):
        feed = replace(feeds[0], arrays=(changed, *feeds[0].arrays[1:]))
        description = described(content, feeds=(feed, *feeds[1:]))
        path = written(tmp_path / "a.stats", arrays_of(content) | {"description": description})
        with pytest.raises(InputError):
            analyzer.audit(MODEL, Data(statistics=path))
