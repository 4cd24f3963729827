"""The examples at the end of each command's help work when they are pasted."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from analyzer.cli.examples import EXAMPLES, STARTS
from analyzer.cli.main import app_of, run

SAMPLES = Path("sample_models").resolve()
COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app_of()), "commands", {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the examples name."""
    files = {
        "model.onnx": "digits_mlp/model.onnx",
        "probe.npz": "digits_mlp/probe.npz",
        "holdout.npz": "digits_mlp/holdout.npz",
        "before.onnx": "digits_mlp/model.onnx",
        "after.onnx": "digits_mlp_killed/model.onnx",
    }
    for name, source in files.items():
        (tmp_path / name).write_bytes((SAMPLES / source).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_runs(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "baseline.json" in line:
        run(["audit", "model.onnx", "--probe", "probe.npz", "--json", "baseline.json", "-q"])
    if line.startswith("deadunits merge"):
        for part in "12":
            shard = ["--shard", f"{part}/2", "-o", f"part{part}.stats", "-q"]
            run(["observe", "model.onnx", "--probe", "probe.npz", *shard])
    if line.startswith("deadunits verify"):
        run(["prove", "model.onnx", "--domain=-20:20", "--budget", "1s", "--certificate", "proof.certificate", "-q"])
    program, *words = shlex.split(line, comments=True)
    assert program == "deadunits"
    expected = 1 if "--max-dead 5%" in line else 0  # the sample has 10 % dead units
    assert run(words) == expected, capsys.readouterr().err
    for word, after in pairwise(words):
        if word in ("-o", "--html", "--state"):
            assert (folder / after).stat().st_size


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_its_examples(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([command, "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    shown = lines[lines.index("Examples:") + 1 :]
    assert [line for line in shown if line] == [*EXAMPLES[command]]  # each on one line


def test_the_first_help_shows_where_to_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in STARTS)


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"doctor", "verify"}))
def test_what_data_is_given_stands_before_what_is_written(command: str) -> None:
    panels = [*dict.fromkeys(p.rich_help_panel for p in COMMANDS[command].params)]  # as the help orders them
    assert all(panels.index("Data") < panels.index(panel) for panel in panels if panel in ("Reports", "Writing"))
    outputs = ("--output", "--json", "--html", "--state", "--masks", "--baseline", "--annotate")
    loose = [p for p in COMMANDS[command].params if p.opts[0] in outputs and p.rich_help_panel is None]
    assert not loose  # which are shown before all panels
