"""A mistyped input is told as what it is, also where the output exists already."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.cli.main import run

FOLDER = Path("sample_models/digits_mlp_killed").resolve()
MODEL, PROBE = str(FOLDER / "model.onnx"), str(FOLDER / "probe.npz")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", MODEL, "--probe", "typo.npz", "-o", "out"], "typo.npz"),
        (["prune", MODEL, "--probe", "typo.py:make", "-o", "out"], "typo.py"),
        (["prune", MODEL, "--probe", PROBE, "--holdout", "typo.npz", "-o", "out"], "typo.npz"),
        (["prune", MODEL, "--probe", PROBE, "--plan", "typo.json", "-o", "out"], "typo.json cannot be read"),
        (["prune", "typo.onnx", "--probe", PROBE, "-o", "out"], "No model file at typo.onnx"),
        (["audit", MODEL, "--probe", "typo.npz", "--json", "out"], "typo.npz"),
        (["audit", "typo.onnx", "--json", "out"], "No model file at typo.onnx"),
    ],
)
def test_the_missing_input_is_named(
    there: bool,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        Path("out").touch()
    assert run(arguments) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert message in err
    assert "is an input" not in err


def test_a_generators_file_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gen.py").write_text("def make():\n    yield {}\n", encoding="utf-8")
    assert run(["prune", MODEL, "--probe", "gen.py:make", "-o", "gen.py"]) == 2
    assert "gen.py is an input" in " ".join(capsys.readouterr().err.split())
