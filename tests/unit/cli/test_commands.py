"""The commands: what they print, where, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import analyzer
from analyzer.cli.main import run
from analyzer.cli.progress import ProgressLine
from analyzer.errors import ComparisonFailed

FOLDER = Path("sample_models/digits_mlp_killed")
MODEL, PROBE = str(FOLDER / "model.onnx"), str(FOLDER / "probe.npz")
COMMANDS = {
    "audit": ["audit", MODEL, "--probe", PROBE],
    "explain": ["explain", MODEL, "--parameter", "0.weight"],
}


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_audit_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*COMMANDS["audit"]]) == 0
    out, err = capsys.readouterr()
    assert "100 of 170 units are dead" in out
    assert err == ""


def test_audit_writes_json_beside_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "audit.json"
    assert run([*COMMANDS["audit"], "--json", str(target)]) == 0
    assert json.loads(target.read_text(encoding="utf-8"))["totals"] == {"units": 170, "dead": 100}
    assert "units are dead" in capsys.readouterr().out


def test_json_to_standard_output_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*COMMANDS["audit"], "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "deadunits.audit/1"


def test_quiet_audit_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*COMMANDS["audit"], "-q", "--json", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", MODEL, "--probe", PROBE, "--batch-size", "0"], "--batch-size is 0: give at least 1."),
        (["audit", MODEL, "--dim", "a=3"], "--dim gives sizes to random samples, and none are drawn: leave it out."),
        (
            ["prune", MODEL, "--dry-run", "--round-to", "0"],
            "--round-to is 0: give a whole number of at least 1.",
        ),
        (["prune", MODEL, "--dry-run", "--residual", "some"], "--residual is 'some': choose off, params or latency."),
    ],
)
def test_what_makes_no_sense_is_named_by_its_flag(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert capsys.readouterr().err == f"deadunits: {said}\n"


def test_explain_prints_the_chain(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", MODEL, "--probe", PROBE, "--parameter", "0.weight"]) == 0
    assert "0.weight" in capsys.readouterr().out
    assert run(["explain", MODEL, "--probe", PROBE, "--unit", "/1/Relu_output_0:0", "--quiet"]) == 0
    assert "/1/Relu_output_0" in capsys.readouterr().out


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"deadunits {analyzer.__version__}\n"


@pytest.mark.parametrize("command", [[], ["audit"], ["explain"]])
def test_help_names_every_command_and_option(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--probe", "--quiet", "--debug", "--preset") if command else ("audit", "explain"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "none.onnx"], "No model file"),
        (["nonsense"], "No such command 'nonsense': see `deadunits --help`."),
        (["audit"], "Missing argument 'MODEL': see `deadunits audit --help`."),
        (["audit", MODEL, "more"], "unexpected extra argument"),
        (["audit", MODEL, "--nonsense"], "No such option: --nonsense"),
        (["audit", MODEL, "--batch-size", "x"], "Invalid value for '--batch-size'"),
        (["check", MODEL, "--max-dead"], "requires an argument"),
        (["explain", MODEL, "--n\n\x1b[2J" + "o" * 400], "No such option: --n"),
        (["audit", MODEL, "--probe", "none.npz"], "No probe data"),
        (["audit", MODEL, "--probe", MODEL], "no known kind of probe data"),
        (["audit", MODEL, "--probe", PROBE, "--json", MODEL], "is an input"),
        (["audit", MODEL, "--probe", PROBE, "--json", "no/such/folder.json"], "does not exist"),
        (["audit", MODEL, "--probe", PROBE, "--random", "3"], "not both"),
        (["audit", MODEL, "--preset", "nope"], "choose one of"),
        (["audit", MODEL, "--near-dead", "200%"], "is not a share"),
        (["audit", MODEL, "--image-size", "big"], "is not a size"),
        (["audit", MODEL, "--probe", PROBE, "--constant", "nope"], "nope"),
        (["explain", MODEL], "either --unit"),
        (["explain", MODEL, "--unit", "a:0", "--parameter", "b"], "either --unit"),
        (["explain", MODEL, "--unit", "nope:0"], "no value named"),
    ],
)
def test_a_wrong_input_ends_with_one_sentence_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("deadunits: ")
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.parametrize(
    "arguments", [["nope"], ["audit"], ["audit", MODEL, "--limit", "0"], ["audit", MODEL, "--nope"]]
)
def test_a_wrong_call_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(analyzer, "audit", fail)


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("odd\nthing"), 3, "internal error, ValueError: odd. Run again with --debug"),
        (ComparisonFailed("the models differ"), 3, "the models differ"),
        (MemoryError(), 2, "lower --batch-size (now 8)"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_failure_has_its_code_and_one_line(
    command: str,
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(error, monkeypatch)
    assert run(COMMANDS[command]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(ValueError("odd"), monkeypatch)
    assert run([*COMMANDS["audit"], "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "analyzer", *arguments],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_reader_that_stops_early_is_no_error() -> None:
    reading, writing = os.pipe()
    process = command("audit", MODEL, "--probe", PROBE, "--all", stdout=writing)
    os.close(writing)
    os.close(reading)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [COMMANDS["audit"], [*COMMANDS["audit"], "--json", "-"], COMMANDS["explain"]])
def test_a_full_disk_behind_standard_output_is_said(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        process = command(*arguments, stdout=full)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert err.startswith("deadunits: Standard output cannot be written")


def test_a_terminal_without_unicode_still_gets_its_report() -> None:
    process = command(*COMMANDS["audit"], env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "####" in out


def shown_progress(calls: list[tuple[str, int, int | None]], **options: Any) -> str:
    stream = io.StringIO()
    with ProgressLine(console=Console(file=stream, width=100, **options)) as progress:
        for call in calls:
            progress(*call)
    return squeezed(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()))


def test_progress_is_shown_once_work_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, int | None]] = [
        ("probe", 100, 300),
        ("probe", 300, 300),
        ("holdout", 20, None),
    ]
    assert shown_progress(calls, force_terminal=True) == ""
    monkeypatch.setattr("analyzer.cli.progress.PATIENCE", 0.0)
    text = shown_progress(calls, force_terminal=True)
    assert "running the probe" in text
    assert "20 samples so far" in text
    assert shown_progress(calls, force_terminal=False) == ""


def test_the_time_left_is_shown_when_it_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.cli.progress.PATIENCE", 0.0)
    calls: list[tuple[str, int, int | None]] = [("probe", done, 1000) for done in range(1, 400, 10)]
    assert " left" in shown_progress(calls, force_terminal=True)
