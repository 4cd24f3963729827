"""Audits, shards and passes that go on, of the same samples in files of several kinds: nothing shows which it was."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer import take_statistics
from analyzer.cli.main import run
from analyzer.observe.statistics_file import read_statistics, to_bytes

FOLDER = Path(__file__).parents[3] / "sample_models" / "digits_mlp_killed"
MODEL = str(FOLDER / "model.onnx")
SAMPLES = 120


@pytest.fixture(scope="module")
def pixels() -> Any:
    with np.load(FOLDER / "probe.npz") as data:
        return data["pixels"][:SAMPLES]


def written(kind: str, pixels: Any, folder: Path) -> str:
    path = folder / f"p.{kind}"
    if kind == "h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file.create_dataset("pixels", data=pixels, chunks=(25, 64), compression="gzip")
            file["label"] = np.arange(SAMPLES) % 10
    elif kind == "zarr":
        group = pytest.importorskip("zarr").open_group(path, mode="w")
        group.create_array("pixels", data=pixels, chunks=(25, 64))
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for number, row in enumerate(pixels):
                stream = io.BytesIO()
                np.save(stream, row)
                member = tarfile.TarInfo(f"{number:04}.pixels.npy")
                member.size = len(stream.getvalue())
                archive.addfile(member, io.BytesIO(stream.getvalue()))
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import feather, parquet

        table = pa.table({"label": np.arange(SAMPLES) % 10, "pixels": pixels.tolist()})
        if kind == "parquet":
            parquet.write_table(table, path, row_group_size=25)
        else:
            feather.write_feather(table, path, chunksize=25)
    return str(path)


def verdicts(probe: str, folder: Path) -> dict[str, Any]:
    out = folder / "audit.json"
    assert run(["audit", MODEL, "--probe", probe, "--json", str(out), "--quiet"]) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["probe"]["samples"] == SAMPLES
    kept = ("totals", "layers", "removable", "locked", "health")
    return {key: report[key] for key in kept} | {"fingerprint": report["probe"]["fingerprint"]}


class Interrupted(Exception):
    """In the midst of a pass."""


@pytest.mark.parametrize("kind", ["h5", "zarr", "parquet", "feather", "tar"])
def test_a_kind_of_file_changes_nothing(kind: str, pixels: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", pixels=pixels)
    expected, data = str(tmp_path / "p.npz"), written(kind, pixels, tmp_path)
    assert verdicts(data, tmp_path) == verdicts(expected, tmp_path)

    whole = to_bytes(replace(take_statistics(MODEL, data)._tallies, microseconds=0))
    parts = [tmp_path / f"{shard}.stats" for shard in (3, 1, 2)]
    for part in parts:
        assert run(["observe", MODEL, "--probe", data, "--shard", f"{part.stem}/3", "-q", "-o", str(part)]) == 0
    assert run(["merge", *map(str, parts), "-q", "-o", str(tmp_path / "all.stats")]) == 0
    merged = read_statistics(tmp_path / "all.stats")
    assert to_bytes(replace(merged, microseconds=0)) == whole

    def stop(stage: str, done: int, total: int | None) -> None:
        if done >= SAMPLES // 2:
            raise Interrupted

    checkpoint = tmp_path / "checkpoint.stats"
    with pytest.raises(Interrupted):
        take_statistics(MODEL, data, checkpoint=checkpoint, every=0, progress=stop)
    begun = read_statistics(checkpoint)
    assert 0 < begun.record.samples < SAMPLES
    gone_on = take_statistics(MODEL, data, checkpoint=checkpoint, every=99)._tallies
    assert to_bytes(replace(gone_on, microseconds=0)) == whole
