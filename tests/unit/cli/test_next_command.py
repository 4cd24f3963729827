"""The command that an audit prints next, as it is pasted: it repeats all that decides what was fed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from analyzer.cli.main import run

SAMPLES = Path("sample_models")


def next_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[str]:
    assert run(["audit", *arguments]) == 0
    program, *words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert program == "deadunits"
    return words


def test_flags_and_paths_with_blanks_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my models"
    shutil.copytree(SAMPLES / "digits_mlp_killed", folder)
    fed = [str(folder / "model.onnx"), "--probe", str(folder / "probe.npz"), "--limit", "200", "--near-dead", "2%"]
    fed += ["--batch-size", "4", "--threads", "1", "--independent"]
    words = next_command(capsys, [*fed, "--holdout", str(folder / "probe.npz"), "--no-causes"])
    assert words[:-2] == ["explain", *fed]
    assert run(words) == 0
    assert "on all 200 samples" in " ".join(capsys.readouterr().out.split())


def test_how_images_are_read_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for number in range(70):
        image.fromarray(rng.integers(0, 255, (9, 9), np.uint8)).save(tmp_path / f"{number}.png")
    model = str(SAMPLES / "digits_cnn_torchscript" / "model.onnx")
    fed = [
        model,
        "--probe",
        str(tmp_path),
        "--image-size",
        "8",
        "--scale",
        "1/16",
        "--mean",
        "0.5",
        "--channels",
        "gray",
    ]
    words = next_command(capsys, fed)
    assert words[:-2] == ["explain", model, "--probe", str(tmp_path), *fed[3:]]
    assert run(words) == 0


def test_what_is_as_it_would_be_anyhow_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    fed = [
        str(SAMPLES / "digits_mlp_killed" / "model.onnx"),
        "--probe",
        str(SAMPLES / "digits_mlp_killed" / "probe.npz"),
    ]
    assert next_command(capsys, [*fed, "--batch-size", "8", "--preset", "default"])[:-2] == ["explain", *fed]


def test_real_data_takes_the_place_of_random_data(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(SAMPLES / "digits_mlp_killed" / "model.onnx")
    words = next_command(capsys, [model, "--random", "80", "--seed", "3"])
    assert words == ["audit", model, "--probe", "DATA"]
