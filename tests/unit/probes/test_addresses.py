"""Data at addresses: one file, folders and patterns, copied when they are read, and gone afterwards."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analyzer.cli.main import run
from analyzer.errors import InputError
from analyzer.graph.view import TensorType
from analyzer.probes import array_stores
from analyzer.probes.probe import open_probe

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
ONE = {"x": TensorType(np.dtype("f4"), ("batch", 3))}
IMAGE = {"x": TensorType(np.dtype("f4"), ("batch", 1, 4, 4))}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    yield memory
    memory.store.clear()


def packed(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def values(address: str, inputs: dict[str, TensorType] = ONE, **options: Any) -> Any:
    return np.concatenate([b.feeds["x"] for b in open_probe(address, inputs, **options).batches(4)]).tolist()


def refusal(address: str) -> str:
    with pytest.raises(InputError) as caught:
        values(address)
    return str(caught.value)


def test_a_file_a_folder_and_patterns(files: Any, tmp_path: Path) -> None:
    for n in range(2):
        files.pipe(f"/data/in/{n}.npz", packed(x=ROWS[4 * n : 4 * n + 4]))
    files.pipe("/data/x.npz", packed(x=ROWS))
    expected = ROWS.tolist()
    for address in ("memory://data/x.npz", "memory://data/in", "memory://data/in/*.npz", "memory://data/in/{0..1}.npz"):
        assert values(address) == expected
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("deep/x.npz", packed(x=ROWS))
    assert values(f"zip://deep/x.npz::{tmp_path / 'all.zip'}") == expected
    np.save(tmp_path / "x.npy", ROWS)
    assert values((tmp_path / "x.npy").as_uri()) == expected
    assert not [*(tmp_path / "copies").iterdir()]


def test_a_zarr_store_of_which_a_shard_reads_its_own_chunks(
    files: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "p.zarr", mode="w")
    group.create_array("x", data=ROWS, chunks=(2, 3))
    group.create_array("label", data=np.zeros(8))
    zarr.save_array(tmp_path / "single.zarr", ROWS)
    for store in ("p.zarr", "single.zarr"):
        files.put(str(tmp_path / store), f"/data/{store}", recursive=True)
    assert values("memory://data/p.zarr") == values("memory://data/single.zarr/") == ROWS.tolist()
    read: list[str] = []
    reading = type(files).cat_file

    def counted(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        read.append(path)
        return reading(self, path, *arguments, **options)

    monkeypatch.setattr(type(files), "cat_file", counted)
    monkeypatch.setattr(array_stores, "PIECE_BYTES", 24)
    probe = open_probe("memory://data/p.zarr", ONE)
    assert [block.number for block in probe.blocks(2, 2, lambda block: block == 2)] == [2]
    assert {path.rpartition("/x/c/")[2] for path in read if "/x/c/" in path} <= {"0/0", "2/0"}
    files.pipe("/data/p.zarr/x/c/1/0", b"damaged")
    assert "memory://data/p.zarr is not a Zarr store that can be read" in refusal("memory://data/p.zarr")


def test_images_of_other_shards_are_not_fetched(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    for n in range(12):
        stream = io.BytesIO()
        image.new("L", (4, 4), n).save(stream, "PNG")
        files.pipe(f"/images/{n:02}.png", stream.getvalue())
    opened: list[str] = []
    reading = type(files).open

    def counted(self: Any, path: str, *arguments: Any) -> Any:
        opened.append(path)
        return reading(self, path, *arguments)

    monkeypatch.setattr(type(files), "open", counted)
    probe = open_probe("memory://images", IMAGE)
    assert probe.samples == 12
    assert [block.number for block in probe.blocks(4, 4, lambda block: block == 2)] == [2]
    assert sorted(set(opened)) == ["/images/00.png", *(f"/images/{n:02}.png" for n in range(8, 12))]


def test_copies_give_way_where_there_is_no_room(files: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = len(packed(x=ROWS))
    for n in range(3):
        files.pipe(f"/in/{n}.npz", packed(x=ROWS + n))

    def held() -> int:
        return sum(p.stat().st_size for p in (tmp_path / "copies").rglob("*.npz"))

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=max(2.5 * size - held(), 0)))
    probe = open_probe("memory://in", ONE)
    assert max(held() for _ in probe.batches(8)) <= 2 * size
    assert probe.samples == 24
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    assert "make room in" in refusal("memory://in/1.npz")


def test_what_is_not_there_or_no_data(files: Any, tmp_path: Path) -> None:
    files.pipe("/data/x.xyz", b"1")
    files.pipe("/data/list.txt", b"a.png")
    assert refusal("memory://none.npz") == "There is nothing at memory://none.npz, or no way there: check the address."
    assert refusal("memory://data/x.xyz").startswith("memory://data/x.xyz is no known kind of probe data")
    assert "is a list of files elsewhere" in refusal("memory://data/list.txt")
    assert "of several kinds" in refusal("memory://data")
    assert refusal("nosuch://x.npz") == "nosuch://x.npz cannot be read: Protocol not known: nosuch."
    files.pipe("/data/short.npz", packed(x=ROWS)[:90])
    assert "short.npz is not a readable .npz file" in refusal("memory://data/short.npz")


def test_secrets_in_an_address_are_not_shown(files: Any) -> None:
    said = refusal("http://user:password@127.0.0.1:9/x.npz?signature=key")
    assert said.startswith("http://127.0.0.1:9/x.npz ")
    assert not any(secret in said for secret in ("password", "signature", "key"))


def test_an_audit_of_data_at_an_address(files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("sample_models/digits_mlp")
    files.pipe("/probe.npz", (folder / "probe.npz").read_bytes())
    model = str(folder / "model.onnx")
    out = str(tmp_path / "a.json")
    assert run(["audit", model, "--probe", "memory://probe.npz", "--json", out, "--no-causes"]) == 0
    assert "probe.npz · 300 samples" in capsys.readouterr().out
    settings = tmp_path / "deadunits.toml"
    settings.write_text('probe = "memory://probe.npz"\nmax-dead = "90%"\n')
    assert run(["check", model, "--config", str(settings), "-q"]) == 0
