"""No report replaces what was read: external data and listed images are inputs as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.api.outputs import guarded_files
from analyzer.cli.main import run
from analyzer.errors import OutputError

MLP = Path("sample_models/digits_mlp")
CNN = str(Path("sample_models/digits_cnn_torchscript/model.onnx"))


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model with its weights in `weights.bin`."""
    path = tmp_path / "model.onnx"
    model = onnx.load(MLP / "model.onnx")
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


@pytest.mark.parametrize(
    "arguments",
    [["audit", "--json"], ["audit", "--html"], ["check", "--report"], ["check", "-o"], ["compare", "--json"]],
)
def test_external_data_is_not_replaced(arguments: list[str], beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, flag = arguments
    weights = beside.with_name("weights.bin")
    before = weights.read_bytes()
    models = [str(beside)] * (2 if command == "compare" else 1)
    target = f"json={weights}" if flag == "--report" else str(weights)
    assert run([command, *models, flag, target, "-q"]) == 2
    assert "is an input of this audit" in capsys.readouterr().err
    assert weights.read_bytes() == before


def test_images_of_a_list_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    picture, listed = tmp_path / "img" / "a.png", tmp_path / "list.txt"
    picture.parent.mkdir()
    image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    listed.write_text("img/a.png 3\n", encoding="utf-8")
    before = picture.read_bytes()
    for command in (["audit", CNN, "--json"], ["check", CNN, "-o"], ["compare", CNN, CNN, "--json"]):
        assert run([*command, str(picture), "--probe", str(listed), "-q"]) == 2
        assert "is an input of this audit" in capsys.readouterr().err
    found = analyzer.audit(CNN, listed)
    for write in (found.to_json, found.to_html, lambda path: analyzer.check(CNN, listed).save_report(path, "json")):
        with pytest.raises(OutputError, match="is an input"):
            write(picture)
    assert picture.read_bytes() == before


def test_names_that_cannot_be_looked_up_guard_nothing() -> None:
    assert guarded_files("x" * 300, MLP / "model.onnx") == (MLP / "model.onnx",)
