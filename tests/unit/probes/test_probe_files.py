"""NumPy files and ONNX test data sets, whole and damaged."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from analyzer import free_memory
from analyzer.errors import ProbeError
from analyzer.facts.image_options import ImageOptions
from analyzer.graph import TensorType
from analyzer.probes import memory, numpy_files
from analyzer.probes.probe import open_probe

FLOAT = np.dtype("f4")
X = {"x": TensorType(FLOAT, (None, 3))}
XY = {"x": TensorType(FLOAT, (None, 3)), "y": TensorType(FLOAT, (None, 2))}
ROWS = np.arange(30, dtype=np.float32).reshape(10, 3)


def values(data: object, inputs: dict[str, TensorType] = X, **options: Any) -> Any:
    return np.concatenate([b.feeds["x"] for b in open_probe(data, inputs, **options).batches(4)]).tolist()


def refusal(data: object, inputs: dict[str, TensorType] = X, **options: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs, **options).batches(4))
    return str(caught.value)


def test_an_npz_file_is_read_by_input_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", y=ROWS[:, :2], x=ROWS)
    probe = open_probe(tmp_path / "p.npz", XY)
    assert (probe.source, probe.samples) == ("p.npz", 10)
    assert values(str(tmp_path / "p.npz"), XY) == ROWS.tolist()


@pytest.mark.parametrize("map_from", [0, 1 << 30])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_is_the_same_read_mapped_or_unpacked(
    tmp_path: Path, save: Any, map_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_files, "MAP_FROM", map_from)
    save(tmp_path / "p.npz", x=np.asfortranarray(ROWS), y=ROWS[:, :2])
    assert values(tmp_path / "p.npz", XY) == ROWS.tolist()


LARGE = np.random.default_rng(0).standard_normal((24, 3)).astype(np.float32)
FIXED = {"x": TensorType(FLOAT, (6, 3))}
LARGE_FILES = [
    ({"x": LARGE}, X, {}),
    ({"any": LARGE}, X, {"limit": 7}),
    ({"x": LARGE, "labels": np.arange(24)}, X, {}),
    ({"x": LARGE, "y": LARGE[:, :2].astype(np.float16)}, XY, {"limit": 20}),
    ({"x": LARGE, "y": LARGE[:1, :2]}, XY, {"constants": ("y",)}),
    ({"x": LARGE}, FIXED, {}),
    ({"x": LARGE.reshape(4, 6, 3)}, FIXED, {}),
    ({"x": np.asfortranarray(LARGE)}, X, {}),
]


@pytest.mark.parametrize(("arrays", "inputs", "options"), LARGE_FILES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_large_archive_is_the_same_in_pieces(
    tmp_path: Path, save: Any, arrays: Any, inputs: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "p.npz", **arrays)
    whole = open_probe(tmp_path / "p.npz", inputs, **options)
    monkeypatch.setattr(numpy_files, "PIECES_FROM", 0)
    monkeypatch.setattr(numpy_files, "PIECE_OF_ARRAYS", 5 * 12)
    in_pieces = open_probe(tmp_path / "p.npz", inputs, **options)
    assert (in_pieces.samples, in_pieces.step, in_pieces.batchable) == (whole.samples, whole.step, whole.batchable)
    for size in (6, 8):
        for one, other in zip(whole.batches(size), in_pieces.batches(size), strict=True):
            assert {n: a.tobytes() for n, a in one.feeds.items()} == {n: a.tobytes() for n, a in other.feeds.items()}
    assert in_pieces.fingerprint == whole.fingerprint
    assert in_pieces.labels == whole.labels


@pytest.mark.parametrize("cut", [40, 400, 4000])
def test_a_large_archive_that_is_damaged_further_on_is_refused_there(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_files, "PIECES_FROM", 0)
    monkeypatch.setattr(numpy_files, "PIECE_OF_ARRAYS", 600)
    np.savez_compressed(tmp_path / "p.npz", x=np.random.default_rng(0).random((2000, 3), np.float32))
    raw = bytearray((tmp_path / "p.npz").read_bytes())
    raw[-cut - 200] ^= 0xFF
    (tmp_path / "p.npz").write_bytes(raw)
    assert "p.npz is not a readable .npz file" in refusal(tmp_path / "p.npz")


def test_a_small_archive_of_a_large_array_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "p.npz", x=np.zeros((50_000, 300), np.float32))
    monkeypatch.setattr(memory, "available_memory", lambda: 40 << 20)
    wide = {"x": TensorType(FLOAT, (None, 300))}
    assert "p.npz unpacks to 57.2 MiB, more than the 40.0 MiB" in refusal(tmp_path / "p.npz", wide)
    monkeypatch.setattr(numpy_files, "PIECES_FROM", 1 << 20)
    monkeypatch.setattr(numpy_files, "PIECE_OF_ARRAYS", 1 << 20)
    probe = open_probe(tmp_path / "p.npz", wide)
    tracemalloc.start()
    assert sum(batch.samples for batch in probe.batches(500)) == 50_000
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("declared", [130, 500, 9_000, 0xFFFFFFF0])
def test_an_archive_that_lies_about_sizes_is_refused(tmp_path: Path, compression: int, declared: int) -> None:
    """The array, its member and the directory say different sizes."""
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(0).random((100 if declared < 1000 else 200, 3), np.float32))
    with zipfile.ZipFile(tmp_path / "p.npz", "w", compression) as archive:
        archive.writestr("x.npy", stream.getvalue()[: 128 + 1200])
    raw = bytearray((tmp_path / "p.npz").read_bytes())
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = raw.find(mark) + place
        raw[at : at + 4] = declared.to_bytes(4, "little")
    (tmp_path / "p.npz").write_bytes(raw)
    assert refusal(tmp_path / "p.npz").startswith("p.npz")


def test_one_array_in_an_npz_file_may_have_any_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", ROWS)
    assert values(tmp_path / "p.npz") == ROWS.tolist()


def test_an_array_in_an_npz_file_that_is_no_input_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", rows=ROWS, scores=np.zeros(10))
    said = "p.npz has no data for 'x' and holds 'rows', 'scores', which the model does not have"
    assert refusal(tmp_path / "p.npz").startswith(said)


def test_a_npy_file_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", ROWS)
    assert values(tmp_path / "p.npy") == ROWS.tolist()
    assert isinstance(numpy_files.read_npy(tmp_path / "p.npy"), np.memmap)


def test_bfloat16_survives_numpys_format(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", x=ROWS.astype(ml_dtypes.bfloat16))
    inputs = {"x": TensorType(np.dtype(ml_dtypes.bfloat16), (None, 3))}
    assert values(tmp_path / "p.npz", inputs) == ROWS.tolist()


HEADER_PIECES = [b"True", b"-1", b"9" * 20, b"(", b")", b"None", b"{", b"'", b"1L", b"1.5", b"\\x", b"\xff", b"[", b"O",
                 b"V8", b"('a','<f4')", b",", b"descr", b"\n", b"2**70"]  # fmt: skip


def damaged_array(random: Random) -> bytes:
    """The bytes of a .npy file with one to three places of it, its header mostly, overwritten, cut out or cut off."""
    stream = io.BytesIO()
    np.save(stream, np.arange(12).reshape(3, 4).astype(random.choice(["f4", "i8", "?", "U3"])))
    content = bytearray(stream.getvalue())
    for _ in range(random.randint(1, 3)):
        place = random.randrange(min(len(content), 130))
        kind = random.choice(["overwrite", "overwrite", "remove", "piece", "piece", "piece", "piece", "end"])
        if kind == "overwrite":
            content[place] = random.randrange(256)
        elif kind == "remove":
            del content[place : place + random.randint(1, 12)]
        elif kind == "piece":
            piece = random.choice(HEADER_PIECES)
            content[place : place + random.choice([0, len(piece)])] = piece
        else:
            del content[place:]
        content = content or bytearray(b"x")
    return bytes(content)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_numpy_files_are_read_or_refused_in_one_sentence(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    for _ in range(150):
        single, several = tmp_path / "p.npy", tmp_path / "p.npz"
        single.write_bytes(damaged_array(random))
        compression = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        with zipfile.ZipFile(several, "w", compression) as archive:
            archive.writestr("x.npy", damaged_array(random))
        content = bytearray(several.read_bytes())
        content[random.randrange(len(content))] = random.randrange(256)
        several.write_bytes(content)
        for read, path in ((numpy_files.read_npy, single), (numpy_files.read_npz, several)):
            with suppress(ProbeError):
                read(path)


def test_a_npy_file_serves_one_input_only(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", ROWS)
    assert refusal(tmp_path / "p.npy", XY).startswith("p.npy is a single array, but the model has 2 inputs")


@pytest.mark.parametrize("name", ["p.npz", "p.npy"])
def test_object_arrays_are_refused_unread(tmp_path: Path, name: str) -> None:
    array = np.array([{}], dtype=object)
    (np.savez if name == "p.npz" else np.save)(tmp_path / name, array)
    assert "object arrays need pickle, which is refused" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["p.npz", "p.npy"])
def test_arrays_with_named_fields_are_refused(tmp_path: Path, name: str) -> None:
    array = np.zeros(3, dtype=[("a", "f4"), ("b", "i4")])
    (np.savez if name == "p.npz" else np.save)(tmp_path / name, array)
    assert "named fields" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["p.npz", "p.npy"])
@pytest.mark.parametrize("keep", [0, 5, 60, 200])
def test_truncated_files_are_refused(tmp_path: Path, name: str, keep: int) -> None:
    (np.savez if name == "p.npz" else np.save)(tmp_path / name, ROWS)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[:keep])
    message = refusal(tmp_path / name)
    assert name in message
    assert "truncated" in message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_byte_in_an_npz_file_is_noticed(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "p.npz", x=ROWS)
    raw = bytearray((tmp_path / "p.npz").read_bytes())
    raw[200] ^= 0xFF
    (tmp_path / "p.npz").write_bytes(bytes(raw))
    assert "p.npz" in refusal(tmp_path / "p.npz")


def test_an_array_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", ROWS)
    raw = (tmp_path / "p.npy").read_bytes()[:-4]
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("x.npy", raw)
    assert refusal(tmp_path / "p.npz") == "p.npz: 'x.npy' is shorter than its header says: write the file again."


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("x.npy", b"hello")
    assert "p.npz: 'x.npy' is not a NumPy array file" in refusal(tmp_path / "p.npz")


def test_an_empty_npz_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz")
    assert "holds no arrays" in refusal(tmp_path / "p.npz")


@pytest.mark.parametrize("name", ["p.npz", "p.npy"])
def test_files_without_samples_are_refused(tmp_path: Path, name: str) -> None:
    (np.savez if name == "p.npz" else np.save)(tmp_path / name, ROWS[:0])
    assert refusal(tmp_path / name) == f"{name} holds no samples: give the model at least one."


def test_an_npz_file_larger_than_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "p.npz", x=np.zeros((1 << 18, 3), np.float32))
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    message = refusal(tmp_path / "p.npz")
    assert message.startswith("p.npz unpacks to 3.0 MiB, more than the 1.0 MiB of memory that are free")


@pytest.mark.parametrize("name", ["x", "any"])
def test_of_a_packed_file_only_the_samples_that_are_asked_for_take_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """4 of 2^18 samples, of which all would not fit."""
    rows = np.zeros((1 << 18, 3), np.float32)
    rows[:4] = ROWS[:4]
    with (
        zipfile.ZipFile(tmp_path / "p.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w") as member,
    ):
        np.save(member, rows)
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    read = list[int]()
    plain = zipfile.ZipExtFile.read

    def counting(stream: zipfile.ZipExtFile, length: int | None = -1) -> bytes:
        piece = plain(stream, length)
        read.append(len(piece))
        return piece

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counting)
    probe = open_probe(tmp_path / "p.npz", X, limit=4)
    assert probe.samples == 4
    (batch,) = probe.batches(8)
    assert batch.feeds["x"].tolist() == ROWS[:4].tolist()
    assert sum(read) < 1000


def test_what_is_fed_with_every_sample_is_read_whole(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "p.npz", x=ROWS, y=ROWS[:, :2])
    probe = open_probe(tmp_path / "p.npz", XY, limit=2, constants=["y"])
    assert [b.feeds["y"].tolist() for b in probe.batches(2)] == [ROWS[:, :2].tolist()]


def test_inputs_disagree_on_samples_that_are_not_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "p.npz", x=ROWS, y=ROWS[:7, :2])
    with pytest.raises(ProbeError, match="disagree on the number of samples"):
        open_probe(tmp_path / "p.npz", XY, limit=2)


def test_free_memory_is_guessed_where_the_system_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory.available_memory() > 1 << 20
    monkeypatch.setattr(free_memory, "_MEMINFO", tmp_path / "none")
    assert free_memory.available_memory() > 1 << 20


def test_missing_and_unknown_kinds_of_files_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "p.npz").startswith("No probe data at ")
    (tmp_path / "p.xyz").touch()
    assert refusal(tmp_path / "p.xyz").startswith("p.xyz is no known kind of probe data: give .npz, .npy, ")
    (tmp_path / "folder").mkdir()
    assert "holds no data that is known and no test_data_set_*" in refusal(tmp_path / "folder")


def test_image_options_for_other_data_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", ROWS)
    for data in (tmp_path / "p.npy", ROWS):
        assert "Image options were given" in refusal(data, images=ImageOptions())


def data_set(folder: Path, *arrays: Any, names: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    for i, array in enumerate(arrays):
        tensor = numpy_helper.from_array(array, names[i] if names else "")
        (folder / f"input_{i}.pb").write_bytes(tensor.SerializeToString())
    return folder


def test_a_test_data_set_is_read_by_position_or_by_names(tmp_path: Path) -> None:
    x, y = ROWS[:2], np.ones((2, 2), np.float32)
    assert values(data_set(tmp_path / "a", x, y), XY) == x.tolist()
    assert values(data_set(tmp_path / "b", y, x, names=("y", "x")), XY) == x.tolist()
    assert values(data_set(tmp_path / "c", x, y, names=("other", "names")), XY) == x.tolist()


def test_a_folder_of_test_data_sets_is_read_in_order_of_number(tmp_path: Path) -> None:
    for number in (10, 9, 0):
        data_set(tmp_path / f"test_data_set_{number}", np.full((1, 3), number, np.float32))
    assert values(tmp_path) == [[0] * 3, [9] * 3, [10] * 3]


def test_a_test_data_set_whose_inputs_differ_in_length_is_one_sample(tmp_path: Path) -> None:
    inputs = {"x": TensorType(FLOAT, (1, 3)), "boxes": TensorType(FLOAT, (5, 4))}
    data_set(tmp_path / "a", ROWS[:1], np.ones((5, 4), np.float32))
    probe = open_probe(tmp_path / "a", inputs)
    assert not probe.batchable
    assert [{n: a.shape for n, a in b.feeds.items()} for b in probe.batches(4)] == [{"x": (1, 3), "boxes": (5, 4)}]


def test_damaged_test_data_is_refused(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "a", ROWS)
    file = folder / "input_0.pb"
    assert "holds 1 input files, but the model has 2 inputs ('x', 'y')" in refusal(folder, XY)
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    said = "a/input_0.pb is not a tensor in ONNX's format, or is truncated: write it again. --max-bad"
    assert refusal(folder).startswith(said)
    file.write_bytes(b"")
    assert "holds no tensor" in refusal(folder)
    tensor = onnx.TensorProto.FromString(whole)
    tensor.raw_data = tensor.raw_data[:-3]
    file.write_bytes(tensor.SerializeToString())
    assert "damaged or truncated tensor" in refusal(folder)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    file.write_bytes(tensor.SerializeToString())
    assert "keeps its data in another file" in refusal(folder)
    file.unlink()
    file.mkdir()
    (folder / "input_0.pb").rmdir()
    assert "holds no data that is known" in refusal(folder)
