"""The same samples are the same, wherever they come from: read as a whole, up to a limit, or in any shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.graph.view import TensorType
from analyzer.probes import array_stores, arrow_tables
from analyzer.probes.fitting import Fitter
from analyzer.probes.probe import Probe, open_probe

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4)).astype(np.float32)
IDS = RNG.integers(0, 9, (90, 2))
LABELS = np.arange(90) % 3
INPUTS = {"x": TensorType(np.dtype("f4"), ("batch", 4)), "ids": TensorType(np.dtype("i8"), ("batch", 2))}
Writer = Callable[[Path], Any]
KINDS: dict[str, Writer] = {}


def kind(function: Writer) -> Writer:
    KINDS[function.__name__] = function
    return function


def table() -> Any:
    pa = pytest.importorskip("pyarrow")
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 4)
    words = pa.array([str(n) for n in LABELS]).dictionary_encode()
    return pa.table({"word": words, "x": fixed, "ids": pa.array(IDS.tolist()), "label": LABELS})


@kind
def npz(folder: Path) -> Path:
    np.savez(folder / "p.npz", x=X, ids=IDS, label=LABELS, extra=np.ones(5))
    return folder / "p.npz"


@kind
def npz_in_folder(folder: Path) -> Path:
    for start in range(0, 90, 40):
        rows = slice(start, start + 40)
        np.savez(folder / f"{start:02}.npz", x=X[rows], ids=IDS[rows], label=LABELS[rows])
    return folder


@kind
def hdf5(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "p.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(7, 4), compression="gzip")
        file["ids"], file["label"], file["paths"] = IDS, LABELS, ["a"] * 90
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")
    return folder / "p.h5"


@kind
def zarr_folder(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    written(zarr, zarr.open_group(folder / "p.zarr", mode="w"))
    return folder / "p.zarr"


@kind
def zarr_of_format_2(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    written(zarr, zarr.open_group(folder / "p.zarr", mode="w", zarr_format=2))
    return folder / "p.zarr"


@kind
def zarr_zip(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    with zarr.storage.ZipStore(folder / "p.zarr.zip", mode="w") as store:
        written(zarr, zarr.open_group(store, mode="w"))
    return folder / "p.zarr.zip"


def written(zarr: Any, group: Any) -> None:
    group.create_array("x", data=X, chunks=(9, 4))
    group.create_array("ids", data=IDS, chunks=(12, 1))
    group.create_array("label", data=LABELS)


@kind
def parquet(folder: Path) -> Path:
    rows = table()
    from pyarrow import parquet

    parquet.write_table(rows, folder / "p.parquet", row_group_size=11)
    return folder / "p.parquet"


@kind
def partitioned(folder: Path) -> Path:
    rows = table()
    from pyarrow import parquet

    for part in range(3):
        (folder / f"part={part}").mkdir()
        parquet.write_table(rows.slice(30 * part, 30), folder / f"part={part}" / "0.parquet", row_group_size=9)
    return folder


@kind
def feather(folder: Path) -> Path:
    rows = table()
    from pyarrow import feather

    feather.write_feather(rows, folder / "p.feather", chunksize=13)
    return folder / "p.feather"


@kind
def saved_data_set(folder: Path) -> Path:
    """As `datasets.Dataset.save_to_disk` writes it."""
    rows = table()
    import pyarrow as pa

    for part in range(2):
        with (
            pa.OSFile(str(folder / f"data-{part}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, rows.schema) as stream,
        ):
            stream.write_table(rows.slice(50 * part, 50), max_chunksize=17)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}, {"filename": "data-1.arrow"}]}')
    return folder


@kind
def json_lines(folder: Path) -> Path:
    import json

    rows = zip(X.astype(float).tolist(), IDS.tolist(), LABELS.tolist(), strict=True)
    lines = (json.dumps({"x": x, "ids": ids, "label": label}) for x, ids, label in rows)
    (folder / "p.jsonl").write_text("\n".join(lines))
    return folder / "p.jsonl"


@kind
def tars(folder: Path) -> str:
    for shard in range(3):
        with tarfile.open(folder / f"p-{shard:02}.tar", "w") as archive:
            for n in range(30 * shard, 30 * shard + 30):
                for part, content in (("x.npy", saved(X[n])), ("ids.json", str(IDS[n].tolist()).encode()),
                                      ("cls", str(LABELS[n]).encode()), ("pyd", b"\x80\x04.")):  # fmt: skip
                    member = tarfile.TarInfo(f"a/{n:04}.{part}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return str(folder / "p-{00..02}.tar")


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@kind
def object_of_arrow(folder: Path) -> Any:
    return table()


@kind
def arrow_data_set(folder: Path) -> Any:
    rows = table()
    import pyarrow.dataset

    return pyarrow.dataset.dataset(rows)


class Streamed:
    """As TensorFlow's `tf.data.Dataset` looks."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("iterated as tensors")

    def as_numpy_iterator(self) -> Iterator[Any]:
        for n in range(0, 90, 8):
            yield {"x": X[n : n + 8], "ids": IDS[n : n + 8]}, LABELS[n : n + 8]


@kind
def tensorflow(folder: Path) -> Any:
    return Streamed()


@kind
def hugging_face(folder: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"x": X, "ids": IDS, "label": LABELS})


@kind
def hugging_face_streamed(folder: Path) -> Any:
    return hugging_face(folder).to_iterable_dataset()


STATES = {
    "wave": TensorType(np.dtype("f4"), ("batch", "time")),
    "state": TensorType(np.dtype("f4"), (2, "batch", 8)),
    "rate": TensorType(np.dtype("i8"), ()),
}


@pytest.mark.parametrize("suffix", ["h5", "zarr"])
def test_numbers_that_stand_once_and_arrays_with_an_axis_more(suffix: str, tmp_path: Path) -> None:
    arrays = {"wave": X[:6, np.newaxis], "state": RNG.standard_normal((6, 2, 1, 8)), "rate": np.int64(16000)}
    library = pytest.importorskip({"h5": "h5py", "zarr": "zarr"}[suffix])
    if suffix == "h5":
        with library.File(tmp_path / "p.h5", "w") as file:
            file.update(arrays)
    else:
        group = library.open_group(tmp_path / "p.zarr", mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=np.asarray(array))
    probe = open_probe(tmp_path / f"p.{suffix}", STATES)
    assert probe.fingerprint == open_probe(arrays, STATES).fingerprint
    assert probe.fixed == {"rate"}


def wanted(probe: Probe, size: int, chosen: Callable[[int], bool]) -> dict[int, list[bytes]]:
    blocks = probe.blocks(size, size, chosen)
    return {b.number: [a.tobytes() for batch in b.batches for a in batch.feeds.values()] for b in blocks}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (array_stores, arrow_tables):
        monkeypatch.setattr(module, "PIECE_BYTES", 400)
    monkeypatch.setattr(arrow_tables, "ROWS_OF_OBJECTS", 16)


@pytest.mark.parametrize("name", KINDS)
def test_samples_are_the_same_wherever_they_come_from(name: str, tmp_path: Path) -> None:
    data = KINDS[name](tmp_path)
    expected = {"x": X, "ids": IDS}
    for limit in (None, 33):
        whole = open_probe(data, INPUTS, limit=limit)
        assert whole.fingerprint == open_probe(expected, INPUTS, limit=limit).fingerprint
        assert whole.samples == (limit or 90)
    every = wanted(open_probe(expected, INPUTS), 8, lambda _: True)
    record = open_probe(data, INPUTS).record
    for shard in (2, 0, 1):
        probe = open_probe(data, INPUTS)
        some = wanted(probe, 8, lambda block, shard=shard: block % 3 == shard)  # type: ignore[misc]
        assert some == {number: feeds for number, feeds in every.items() if number % 3 == shard}
        record.merge(probe.record)
    assert record.fingerprint == open_probe(expected, INPUTS).fingerprint
    left_out = {label.name for label in open_probe(data, INPUTS).labels}
    assert left_out <= {"label", "word", "extra", "paths", "part", "cls", "pyd"}
    if name != "tensorflow":  # what a tuple has beyond the inputs
        assert left_out & {"label", "cls"}


@pytest.mark.parametrize("name", ["hdf5", "zarr_folder", "parquet", "partitioned"])
def test_pieces_without_a_chosen_block_are_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = KINDS[name](tmp_path)
    probe = open_probe(data, INPUTS)
    read: list[int] = []
    part = Fitter.part

    def counted(self: Fitter, raw: Any, where: str) -> Any:
        fitted = part(self, raw, where)
        read.append(fitted.samples)
        return fitted

    monkeypatch.setattr(Fitter, "part", counted)
    assert [*wanted(probe, 8, lambda block: block == 5)] == [5]
    assert sum(read) <= 24
