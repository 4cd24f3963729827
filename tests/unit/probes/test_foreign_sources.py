"""Files of other programs: what they may hold, what is refused, and what is missing to read them."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.facts.image_options import ImageOptions
from analyzer.graph.view import TensorType
from analyzer.probes.probe import Probe, open_probe

FLOAT = np.dtype(np.float32)
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
ONE = {"x": TensorType(FLOAT, ("batch", 3))}
IMAGE = {"x": TensorType(FLOAT, ("batch", 3, 4, 4))}
WORDS = {"x": TensorType(np.dtype(object), ("batch",))}


def values(data: Any, inputs: dict[str, TensorType] = ONE, **options: Any) -> Any:
    return [batch.feeds["x"].tolist() for batch in open_probe(data, inputs, **options).batches(64)]


def refusal(data: Any, inputs: dict[str, TensorType] = ONE, **options: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        values(data, inputs, **options)
    return str(caught.value)


def labels(probe: Probe) -> list[tuple[str, bool]]:
    return [(label.name, label.alike) for label in probe.labels]


def picture(shade: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def packed(path: Path, *members: tuple[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_images_in_tars_and_tables(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    shades = (0, 102, 255)
    members = [(f"{n}.{part}", c) for n, s in enumerate(shades) for part, c in (("png", picture(s)), ("cls", b"1"))]
    cells = [{"bytes": picture(shade), "path": f"{shade}.png"} for shade in shades]
    table = pa.table({"image": cells, "label": [0, 1, 0]})
    parquet.write_table(table, tmp_path / "structs.parquet", row_group_size=2)
    parquet.write_table(pa.table({"a": [1, 2, 3], "jpg": [c["bytes"] for c in cells]}), tmp_path / "bytes.parquet")
    folder = tmp_path / "images"
    folder.mkdir()
    for n, shade in enumerate(shades):
        (folder / f"{n}.png").write_bytes(picture(shade))
    expected = open_probe(folder, IMAGE, images=ImageOptions(mean=(0.5,)))
    for data in (
        packed(tmp_path / "p.tar", *members),
        packed(tmp_path / "p.tar.gz", *members, mode="w:gz"),
        tmp_path / "structs.parquet",
        tmp_path / "bytes.parquet",
        table,
    ):
        probe = open_probe(data, IMAGE, images=ImageOptions(mean=(0.5,)))
        assert probe.fingerprint == expected.fingerprint
        assert probe.preprocessing == expected.preprocessing
        assert len(labels(probe)) == 1
    cells[1] = {"bytes": b"\x89PNG", "path": ""}
    parquet.write_table(pa.table({"image": cells}), tmp_path / "broken.parquet")
    assert "broken.parquet: row 2 is not a readable image" in refusal(tmp_path / "broken.parquet", IMAGE)
    probe = open_probe(tmp_path / "broken.parquet", IMAGE, max_bad=9)
    assert sum(batch.samples for batch in probe.batches(8)) == 2
    assert [*probe.skipped] == ["row 2"]
    paths = pa.table({"image": [{"bytes": None, "path": "/etc/passwd"}]}, pa.schema([("image", table.schema[0].type)]))
    assert "row 1 holds no image, or only its path" in refusal(paths, IMAGE)
    assert "Image options were given" in refusal(pa.table({"x": [[1.0, 2, 3]]}), images=ImageOptions())


def test_members_of_a_tar_that_are_pickled_are_never_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, ROWS[0])
    good = stream.getvalue()
    bomb = b"cos\nsystem\n(S'false'\ntR."
    assert values(packed(tmp_path / "a.tar", ("0.npy", good), ("0.meta.pyd", bomb), ("0.pickle", bomb))) == [
        [[0, 1, 2]]
    ]
    for part in ("pyd", "pickle", "x.pth", "x.pt"):
        said = refusal(packed(tmp_path / "b.tar", (f"0.{part}", bomb)))
        assert said.startswith(f"b.tar: sample 0 holds '{part}', which is not read as data (no pickle is)")
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}]), allow_pickle=True)
    assert "Python objects" in refusal(packed(tmp_path / "c.tar", ("0.npy", stream.getvalue())))
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        link = tarfile.TarInfo("0.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "holds no samples" in refusal(tmp_path / "d.tar")


def test_samples_of_a_tar_that_are_broken_are_said_or_left_out(tmp_path: Path) -> None:
    rows = [("a/0.json", b"[1, 2, 3]"), ("a/1.json", b"[1, 2"), ("a/2.json", b'{"x": [4, 5, 6], "y": 1}')]
    path = packed(tmp_path / "p.tar", *rows)
    assert refusal(path).startswith("p.tar: sample a/1.json is no JSON of numbers: write it again.")
    probe = open_probe(path, {"x": TensorType(FLOAT, ("batch", 3))}, max_bad=9)
    assert sum(batch.samples for batch in probe.batches(8)) == 2
    assert [*probe.skipped] == ["p.tar, a/1"]
    path.write_bytes(path.read_bytes()[:700])
    assert "p.tar is not a readable tar file or is truncated" in refusal(path)


def test_columns_of_lists(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    grid = {"x": TensorType(FLOAT, ("batch", 3, 4))}
    expected = np.arange(24).reshape(2, 3, 4).tolist()
    assert values(pa.table({"other": tensor}), grid) == [expected]
    assert values(pa.table({"other": expected, "n": [1, 2]}), grid) == [expected]
    free = {"x": TensorType(np.dtype(np.int64), ("batch", "n"))}
    assert values(pa.table({"x": [[1, 2], [3], [4], [5, 6]]}), free) == [[[1, 2]], [[3], [4]], [[5, 6]]]
    one = {"x": TensorType(FLOAT, ("batch", 1))}
    assert values(pa.table({"n": [9, 9], "x": [1.0, 2.0]}), one) == [[[1], [2]]]
    assert "several columns that could be input 'x' ('a', 'b')" in refusal(pa.table({"a": [[1.0]], "b": [[1.0]]}))
    assert "rows without a list" in refusal(pa.table({"x": [[1.0, 2, 3], None]}))
    assert "expects ?x3" in refusal(pa.table({"x": [[1.0, 2]]})).replace("batch", "?")
    twice = pa.Table.from_arrays([pa.array([1.0])] * 2, ["x", "x"])
    assert "names a column twice" in refusal(twice)
    reader = pa.table({"x": ROWS.tolist()}).to_reader(2)
    probe = open_probe(reader, ONE)
    assert probe.one_shot
    assert sum(batch.samples for batch in probe.batches(8)) == 4


def test_folders_between_are_columns_of_their_files(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for year in (2023, 2024):
        (tmp_path / f"year={year}" / "kind=b").mkdir(parents=True)
        parquet.write_table(pa.table({"a": [0.5]}), tmp_path / f"year={year}" / "kind=b" / "0.parquet")
    inputs = {name: TensorType(FLOAT, ("batch", 1)) for name in ("a", "year")}
    probe = open_probe(tmp_path, inputs)
    (batch,) = probe.batches(8)
    assert batch.feeds["year"].tolist() == [[2023], [2024]]
    assert labels(probe) == [("kind", False)]
    assert values(tmp_path, {"x": TensorType(FLOAT, ("batch", 1))}) == [[[0.5], [0.5]]]


def test_offsets_of_a_damaged_arrow_file_lead_nowhere(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather

    feather.write_feather(pa.table({"x": ["a", "bc", "d"]}), tmp_path / "p.arrow", compression="uncompressed")
    content = (tmp_path / "p.arrow").read_bytes()
    offsets = np.array([0, 1, 3, 4], np.int32).tobytes()
    assert content.count(offsets)
    (tmp_path / "p.arrow").write_bytes(content.replace(offsets, np.array([0, 1 << 30, 3, 4], np.int32).tobytes()))
    assert "p.arrow is not a readable .arrow file or is truncated" in refusal(tmp_path / "p.arrow", WORDS)
    (tmp_path / "p.arrow").write_bytes(content[:300])
    assert "p.arrow is not a readable .arrow file or is truncated" in refusal(tmp_path / "p.arrow", WORDS)


@pytest.mark.parametrize(
    "state", ["", "[]", "{}", '{"_data_files": []}', '{"_data_files": [{"filename": "../p.arrow"}]}', "[" * 10_000]
)
def test_a_saved_data_set_that_lists_no_files_of_its_own_is_refused(state: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "state.json").write_text(state)
    assert "state.json" in refusal(tmp_path)


def test_several_splits_are_not_mixed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "state.json").touch()
    (tmp_path / "dataset_dict.json").write_text("{}")
    assert refusal(tmp_path) == f"{tmp_path} holds the splits 'test', 'train': name one, such as {tmp_path / 'test'}."

    class Stream:
        def as_numpy_iterator(self) -> Any:
            return iter(ROWS)

    assert values({"x": ROWS}) == [ROWS.tolist()]
    assert values(Stream()) == [ROWS.tolist()]
    assert "dict holds the splits 'train': give one of them, such as data['train']" in refusal({"train": Stream()})


def test_what_an_hdf5_file_may_not_hold(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "p.h5"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = ROWS
    for write, words in (
        (lambda f: f.create_dataset("x", (4, 3), "f4", external=[("/etc/passwd", 0, 48)]), "lies in other files"),
        (lambda f: f.create_virtual_dataset("x", virtual(h5py, tmp_path)), "lies in other files"),
        (lambda f: f.create_dataset("x", (400, 3), "f4", chunks=(10, 3)), "was never written, or in part"),
        (lambda f: f.create_dataset("x", (400, 3), "f4"), "was never written"),
        (lambda f: f.create_dataset("x", (4,), h5py.vlen_dtype("i4")), "was never written"),
        (lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/x")), "holds no arrays"),
        (lambda f: f.__setitem__("x", np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")])), "expects float32"),
        (lambda f: filled(f.create_dataset("x", (2,), h5py.vlen_dtype("i4"))), "Python objects"),
        (lambda f: f.__setitem__("x", ROWS[:, :2]), "axis 1 must be 3, not 2"),
        (lambda f: None, "holds no arrays"),
    ):
        with h5py.File(path, "w") as file:
            write(file)
        assert words in refusal(path)
    with h5py.File(path, "w") as file:
        file["x"] = ["a", "é"]
    assert values(path, WORDS) == [["a", "é"]]
    path.write_bytes(path.read_bytes()[:900])
    assert "p.h5 is not an HDF5 file that can be read" in refusal(path)


def virtual(h5py: Any, folder: Path) -> Any:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (4, 3))
    return layout


def filled(array: Any) -> None:
    array[:] = [[1], [2, 3]]


def test_a_zarr_store_is_unpacked_by_known_codecs_alone(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "p.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).create_array("x", data=ROWS, filters=None)
    assert values(path) == [ROWS.tolist()]
    metadata = json.loads((path / "x" / ".zarray").read_text())
    for changed in ({"filters": [{"id": "pickle"}]}, {"compressor": {"id": "pickle"}, "filters": None}):
        for dtype in ("<f4", "|O"):
            pickled = {**metadata, "compressor": None, "dtype": dtype, "fill_value": 0, **changed}
            (path / "x" / ".zarray").write_text(json.dumps(pickled))
            (path / "x" / "0.0").write_bytes(f"cos\nmkdir\n(S'{tmp_path}/run'\ntR.".encode())
            assert "pickle" in refusal(path)
    assert not (tmp_path / "run").exists()
    (path / "x" / ".zarray").write_text(json.dumps({**metadata, "filters": [{"id": "base64"}]}))
    assert "is packed with 'base64', which is not unpacked here" in refusal(path)
    (path / "x" / ".zarray").write_text("{")
    assert "p.zarr" in refusal(path)
    (path / "x" / ".zarray").write_text(json.dumps({**metadata, "chunks": [1 << 40, 3], "shape": [1 << 40, 3]}))
    assert "unpacks to" in refusal(path)
    zarr.save_array(tmp_path / "q.zarr", ROWS)
    assert values(tmp_path / "q.zarr") == [ROWS.tolist()]
    (chunk,) = (file for file in (tmp_path / "q.zarr").rglob("*") if file.is_file() and file.name != "zarr.json")
    chunk.write_bytes(zlib.compress(b"no"))
    assert "q.zarr is not a Zarr store that can be read" in refusal(tmp_path / "q.zarr")


@pytest.mark.parametrize(
    ("package", "file", "extra"),
    [
        ("h5py", "p.h5", "hdf5"),
        ("zarr", "p.zarr.zip", "zarr"),
        ("pyarrow", "p.feather", "tables"),
        ("soundfile", "p.flac", "audio"),
    ],
)
def test_what_is_missing_is_named(
    package: str, file: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).touch()
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(tmp_path / file).startswith(f"Reading {file} needs {package}: pip install 'deadunits[{extra}]', or")


def test_files_of_one_kind_are_a_series_and_others_are_refused(tmp_path: Path) -> None:
    for n in range(3):
        np.save(tmp_path / f"{n}.npy", ROWS + n)
        (tmp_path / f"{n}.csv").write_text("\n".join(",".join(map(str, row)) for row in ROWS + n))
    expected = [(ROWS + n).tolist() for n in range(3)]
    joined = [row for part in expected for row in part]
    assert values(str(tmp_path / "{0..2}.npy")) == values(str(tmp_path / "?.csv")) == [joined]
    assert values(str(tmp_path / "{2,0}.npy")) == [expected[2] + expected[0]]
    assert "several kinds" in refusal(str(tmp_path / "*"))
    assert "holds data of several kinds (.csv, .npy): name one, as '*.csv'" in refusal(tmp_path)
    for n in range(3):
        (tmp_path / f"{n}.csv").unlink()
    (tmp_path / "1.npy").write_bytes(b"no array")
    assert "1.npy is not a NumPy array file" in refusal(tmp_path)
    probe = open_probe(tmp_path, ONE, max_bad=9)
    assert sum(batch.samples for batch in probe.batches(8)) == 8
    assert [*probe.skipped] == ["1.npy"]
    np.savez(tmp_path / "p.npz", x=ROWS)  # what was always taken before others
    assert values(tmp_path) == [ROWS.tolist()]
    assert "stands for more than 1,000,000 files" in refusal(str(tmp_path / "{0..9999999}.npy"))
