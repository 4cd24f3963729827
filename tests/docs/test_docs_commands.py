"""Every command and every Python example in the README and in docs/ does what the page says.

A block that cannot run here says so on the line before it: `<!-- not run: needs PyTorch -->`. Each page runs from top
to bottom in a folder of its own, next to the sample models and to a `model.onnx` with its data. In a `console` block
the lines below a command are its output; a line `…` stands for any number of lines.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli.main import run
from tests.docs.pages import PAGES, ROOT, Block, Command, blocks, commands

SAMPLE, KILLED = "digits_mlp", "digits_mlp_killed"
STAND_INS = {
    "model.onnx": "model.onnx",
    "probe.npz": "probe.npz",
    "data.npz": "probe.npz",
    "holdout.npz": "holdout.npz",
    "other.npz": "holdout.npz",
}
OTHER_MODELS = {"before.onnx": SAMPLE, "after.onnx": KILLED}
OTHER_PROGRAMS = {"pip", "pytest", "git", "ruff", "mypy", "mkdocs", "cd", ".ci/run"}  # not ours to try
FOUND_TOO_MUCH = 1  # what `check` ends with when it works and the model does not pass

RUN = {page: [b for b in blocks(page) if not b.not_run and b.language in ("sh", "console", "python")] for page in PAGES}


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("baseline") / "baseline.json"
    folder = ROOT / "sample_models" / SAMPLE
    assert run(["audit", f"{folder}/model.onnx", "--probe", f"{folder}/probe.npz", "--json", str(file), "--quiet"]) == 0
    return file


@pytest.fixture
def desk(tmp_path: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    samples = ROOT / "sample_models"
    (tmp_path / "sample_models").symlink_to(samples, target_is_directory=True)
    for name, source in STAND_INS.items():
        shutil.copyfile(samples / SAMPLE / source, tmp_path / name)
    for name, model in OTHER_MODELS.items():
        shutil.copyfile(samples / model / "model.onnx", tmp_path / name)
    shutil.copyfile(baseline, tmp_path / "baseline.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in PAGES if RUN[p]], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_the_page_shows_runs(page: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in RUN[page]:
        if block.language == "python":
            run_python(block)
        else:
            for command in commands(block):
                run_command(block, command, capsys)


def test_python_blocks_that_are_not_run_say_why() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.not_run != "not run:", block.place


def run_python(block: Block) -> None:
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    exec(code, {"__name__": "__example__"})  # noqa: S102  our own pages


def run_command(block: Block, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.line, comments=True)
    program, arguments = words[0], words[1:]
    if program in OTHER_PROGRAMS:
        return
    assert not {"|", ">", "<", ";"} & set(words), f"{block.place}: {command.line!r} needs a shell: mark it as not run."
    capsys.readouterr()
    if program == "deadunits" or words[:3] == ["python", "-m", "analyzer"]:
        arguments = arguments if program == "deadunits" else words[3:]
        code = run(arguments)
        captured = capsys.readouterr()
        output, errors = captured.out, captured.err
    else:
        assert program == "python", f"{block.place}: {program} is not known: mark the block as not run."
        code, output, errors = run_script(arguments)
    allowed = (0, FOUND_TOO_MUCH) if arguments[:1] == ["check"] else (0,)
    assert code in allowed, f"{block.place}: {command.line!r} ends with {code}:\n{errors or output}"
    if command.shown is not None:
        compare(block, command, output)


def run_script(arguments: list[str]) -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    cwd = ROOT if arguments[:1] == ["-m"] else None  # modules of the project look at its own files
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def compare(block: Block, command: Command, output: str) -> None:
    """Each shown line is a line of the output; between two only as many others as `…` allows."""
    real = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    at, skipping = 0, False
    for line in (" ".join(line.split()) for line in command.shown or () if line.strip()):
        if line == "…":
            skipping = True
            continue
        found = next((i for i in range(at, len(real)) if real[i].startswith(line)), None) if skipping else at
        matches = found is not None and found < len(real) and real[found].startswith(line)
        assert matches, f"{block.place}: {line!r} is not in the output of {command.line!r}:\n{output}"
        at, skipping = (found or 0) + 1, False
    assert skipping or at == len(real), f"{block.place}: {command.line!r} prints more than is shown:\n{output}"
