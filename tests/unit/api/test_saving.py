"""An unchanged model whose weights lie beside it: written whole or not at all, and over nobody else's file."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.cli.main import run as command
from analyzer.errors import OutputError
from tests.equivalence.agree import run, same
from tests.models import parse

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def written(folder: Path, location: str, seed: int = 1) -> Path:
    """A model without dead units, with its weights at `location` in the folder."""
    (folder / location).parent.mkdir(parents=True)
    stored = {"w": np.random.default_rng(seed).standard_normal((4, 40)).astype(np.float32)}
    model = parse("g (float[N,4] x) => (float[N,40] y) {\ny = Gemm(x, w)\n}", stored)
    path = folder / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location=location, size_threshold=0)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "one", "weights.bin")


def unchanged(path: Path) -> analyzer.Pruned:
    found = analyzer.prune(path, latency=False)
    assert not found.changed
    return found


def test_the_weights_of_another_model_are_not_written_over(model: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "two", "weights.bin", seed=2).with_name("weights.bin")
    before = other.read_bytes()
    with pytest.raises(OutputError, match=r"weights\.bin is another file"):
        unchanged(model).save(other.with_name("copy.onnx"))
    assert other.read_bytes() == before
    assert sorted(p.name for p in other.parent.iterdir()) == ["model.onnx", "weights.bin"]


def test_weights_that_are_there_already_stay(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for _ in range(2):
        files = unchanged(model).save(tmp_path / "out" / "copy.onnx")
        assert files == (tmp_path / "out" / "copy.onnx", tmp_path / "out" / "weights.bin")
    same(run(model, {"x": X}), run(tmp_path / "out" / "copy.onnx", {"x": X}))


def test_weights_in_a_subfolder_get_one(tmp_path: Path) -> None:
    path = written(tmp_path / "one", "deep/er/weights.bin")
    (tmp_path / "out").mkdir()
    unchanged(path).save(tmp_path / "out" / "copy.onnx")
    same(run(path, {"x": X}), run(tmp_path / "out" / "copy.onnx", {"x": X}))


def test_the_copy_has_the_mode_of_any_new_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unchanged(model).save(tmp_path / "out" / "copy.onnx")
    (tmp_path / "new").touch()
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (*(tmp_path / "out").iterdir(), tmp_path / "new")}
    assert len(modes) == 1


@pytest.mark.parametrize("name", ["weights.bin", "w"])
def test_a_place_that_is_taken_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "one", "w/weights.bin" if name == "w" else "weights.bin")
    out = tmp_path / "out"
    out.mkdir()
    if name == "w":
        (out / "w").touch()  # a file where a folder must go
    with pytest.raises(OutputError):
        unchanged(path).save(out / ("copy.onnx" if name == "w" else name))  # a model in the place of its weights
    assert [p.name for p in out.iterdir()] == (["w"] if name == "w" else [])


def test_what_was_copied_goes_again_when_the_model_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "one", "w/weights.bin")
    found = unchanged(path)
    (tmp_path / "out").mkdir()

    rename = Path.replace

    def replace(self: Path, place: Path) -> Path:
        if place.name == "copy.onnx":
            raise PermissionError(1, "Operation not permitted")
        return rename(self, place)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="not permitted"):
        found.save(tmp_path / "out" / "copy.onnx")
    assert not list((tmp_path / "out").iterdir())


def test_the_report_names_the_file_of_the_weights(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "copy.onnx"
    assert command(["prune", str(model), "-o", str(target)]) == 0
    assert f"{target} with its weights in {target.with_name('weights.bin')}" in capsys.readouterr().out


def test_nothing_else_is_written_where_the_model_cannot_be(model: Path, tmp_path: Path) -> None:
    out = written(tmp_path / "two", "weights.bin", seed=2).parent
    before = sorted(out.iterdir())
    more = ["--json", str(out / "report.json"), "--masks", str(out / "masks.npz")]
    assert command(["prune", str(model), "-o", str(out / "copy.onnx"), *more]) == 2
    assert sorted(out.iterdir()) == before
