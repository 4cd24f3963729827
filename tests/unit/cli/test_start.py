"""The first steps: settings from a first audit, a baseline that is renewed, and what is installed."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from analyzer.cli.main import run

SAMPLES = Path("sample_models").resolve()
NO_ERRORS = ["digits_mlp", "digits_mlp_killed", "digits_cnn_dynamo", "digits_mlp_leaky"]


@pytest.fixture(params=NO_ERRORS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("model.onnx", "probe.npz"):
        shutil.copy(SAMPLES / request.param / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_passes_the_settings_that_were_made_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "model.onnx", "--probe", "probe.npz"]) == 0
    assert "Next  deadunits check model.onnx\n" in capsys.readouterr().out
    settings = tomllib.loads(Path("deadunits.toml").read_text(encoding="utf-8"))
    assert (settings["probe"], settings["baseline"]) == ("probe.npz", "baseline.json")
    assert json.loads(Path("baseline.json").read_text(encoding="utf-8"))["schema"] == "deadunits.audit/1"
    assert run(["check", "model.onnx"]) == 0


def test_a_model_that_fails_all_the_same_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SAMPLES / "wine_sklearn_mlp", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert run(["init", "model.onnx", "--probe", "probe.npz", "--limit", "9"]) == 0
    assert "The model fails the check as it is: DU031 little-judged" in capsys.readouterr().out
    assert run(["check", "model.onnx", "--limit", "9", "-q"]) == 1


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(SAMPLES / "digits_mlp_killed", tmp_path, dirs_exist_ok=True)
    shutil.copy(SAMPLES / "digits_mlp" / "model.onnx", tmp_path / "healthy.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_worse_model_does_not_pass(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "healthy.onnx", "--probe", "probe.npz", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["check", "model.onnx", "-q"]) == 1


def test_what_is_there_already_is_not_written_over(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("deadunits.toml").write_text("min-samples = 1\n")
    assert run(["init", "model.onnx", "--probe", "probe.npz"]) == 2
    assert "deadunits.toml is there already" in capsys.readouterr().err
    assert Path("deadunits.toml").read_text() == "min-samples = 1\n"
    assert not Path("baseline.json").exists()
    assert run(["init", "model.onnx", "--probe", "probe.npz", "-o", "other.toml", "-q"]) == 0
    assert run(["check", "model.onnx", "--config", "other.toml", "-q"]) == 0


def test_a_file_in_another_folder_names_paths_from_there(killed: Path) -> None:
    (killed / "gate").mkdir()
    call = ["init", "model.onnx", "--probe", "probe.npz", "-o", "gate/deadunits.toml", "--baseline", "gate/then.json"]
    assert run([*call, "-q"]) == 0
    settings = tomllib.loads((killed / "gate" / "deadunits.toml").read_text(encoding="utf-8"))
    assert (settings["probe"], settings["baseline"]) == ("../probe.npz", "then.json")
    assert run(["check", "model.onnx", "--config", "gate/deadunits.toml", "-q"]) == 0


def test_a_script_never_gets_into_settings(killed: Path) -> None:
    Path("data.py").write_text("import numpy as np\nfeeds = [{'pixels': np.zeros((1, 64), np.float32)}] * 60\n")
    assert run(["init", "model.onnx", "--probe", "data.py:feeds", "-q"]) == 0
    assert "probe" not in tomllib.loads(Path("deadunits.toml").read_text(encoding="utf-8"))


def test_a_baseline_is_replaced_only_by_what_passes(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "healthy.onnx", "--probe", "probe.npz", "-q"]) == 0
    then = Path("baseline.json").read_bytes()
    assert run(["check", "model.onnx", "--update-baseline", "-q"]) == 1  # over its budgets
    assert Path("baseline.json").read_bytes() == then
    call = ["check", "model.onnx", "--no-config", "--probe", "probe.npz", "--baseline", "baseline.json"]
    assert run([*call, "-q"]) == 1  # units died
    assert run([*call, "--update-baseline", "-q"]) == 0
    assert Path("baseline.json").read_bytes() != then
    assert run([*call, "-q"]) == 0
    assert run(["check", "model.onnx", "--no-config", "--update-baseline"]) == 2
    assert "none is named" in capsys.readouterr().err


def test_doctor_says_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["telemetry"] == "off"
    assert "CPUExecutionProvider" in lines["providers"]
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    needed = {re.split(r"[^\w-]", entry)[0] for entry in settings["project"]["dependencies"]}
    assert {"deadunits", "python", "images", "tables", *needed} <= lines.keys()


def test_the_version_has_a_short_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-V"]) == run(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


@pytest.mark.parametrize("data", [[], ["--random", "80"]])
def test_no_baseline_is_made_without_real_data(
    data: list[str], killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "healthy.onnx", "--probe", "probe.npz", "-q"]) == 0
    then = Path("baseline.json").read_bytes()
    call = ["check", "healthy.onnx", "--no-config", "--baseline", "baseline.json", "--update-baseline", *data]
    assert run(call) == 2
    assert "--update-baseline needs real data" in capsys.readouterr().err
    assert Path("baseline.json").read_bytes() == then


@pytest.mark.parametrize("name", ["notes.txt", "deadunits.toml", "probe.npz"])
def test_only_a_baseline_is_replaced(name: str, killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("mine")
    Path("deadunits.toml").write_text("min-samples = 3\n")
    then = Path(name).read_bytes()
    assert run(["check", "healthy.onnx", "--probe", "probe.npz", "--baseline", name, "--update-baseline"]) == 2
    assert Path(name).read_bytes() == then
    assert capsys.readouterr().err.count("\n") == 1


def test_the_next_command_holds_what_settings_do_not(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("probe.npz", "data.pytorch.npz")
    flags = ["--limit", "200", "--batch-size", "4", "--threads", "1"]
    assert run(["init", "model.onnx", "--probe", "data.pytorch.npz", *flags]) == 0
    assert capsys.readouterr().out.endswith(f"Next  deadunits check model.onnx {' '.join(flags)}\n")
    assert tomllib.loads(Path("deadunits.toml").read_text(encoding="utf-8"))["probe"] == "data.pytorch.npz"
    assert run(["check", "model.onnx", *flags, "-q"]) == 0


def test_a_script_stands_in_the_next_command(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data.py").write_text("import numpy as np\nfeeds = [{'pixels': np.zeros((1, 64), np.float32)}] * 60\n")
    assert run(["init", "model.onnx", "--probe", "data.py:feeds"]) == 0
    assert "deadunits check model.onnx --probe data.py:feeds" in capsys.readouterr().out
