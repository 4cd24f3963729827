"""What the README shows is what happens."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from analyzer.cli.main import run

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
AUDIT = (
    "pip install . && deadunits audit sample_models/digits_mlp_killed/model.onnx "
    "--probe sample_models/digits_mlp_killed/probe.npz"
)
TESTS = 'pip install ".[test]" && pytest'


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_two_commands_to_start_with_are_there() -> None:
    assert AUDIT in commands()
    assert TESTS in commands()


def test_the_first_command_prints_what_the_readme_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    assert run(shlex.split(AUDIT.split("&& deadunits ")[1])) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.strip().splitlines()]
    shown = README.split("```text\n")[1].split("\n```")[0]
    assert printed == shown.splitlines()


def test_every_option_in_the_readme_exists(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    known = ""
    commands = ("audit", "explain", "check", "prune", "prove", "observe")
    for arguments in (["--help"], *([name, "--help"] for name in commands)):
        run(arguments)
        known += capsys.readouterr().out
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", README):
        assert option in known, option
