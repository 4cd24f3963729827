"""How commands end when the call, the data or the streams are unusual: with the right code and one sentence."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analyzer.cli.main import run

FOLDER = Path("sample_models/digits_mlp_killed")
MODEL, PROBE = str(FOLDER / "model.onnx"), str(FOLDER / "probe.npz")


@pytest.mark.parametrize("command", ["audit", "check"])
def test_a_probe_file_that_exits_does_not_pass_the_gate(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text("import sys\ndef feeds():\n    sys.exit(0)\n", encoding="utf-8")
    assert run([command, MODEL, "--probe", f"{probe}:feeds"]) == 2
    assert "probe.py:feeds ended with sys.exit" in capsys.readouterr().err


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    """A pipe into which nobody writes."""
    os.mkfifo(tmp_path / "pipe.txt")  # also the name of a list of images, which is looked into before anything else
    return str(tmp_path / "pipe.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "-"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "IT"],
        ["audit", MODEL, "--probe", "IT"],
        ["audit", MODEL, "--probe", PROBE, "--holdout", "IT"],
        ["check", MODEL, "--baseline", "IT"],
        ["check", MODEL, "--config", "IT"],
        ["prune", MODEL, "--dry-run", "--plan", "IT"],
        ["compare", MODEL, "IT"],
    ],
)
def test_only_files_are_read(arguments: list[str], name: str, pipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = pipe if name == "pipe" else name
    assert run([word.replace("IT", name) for word in arguments] + ["-q"]) == 2
    said = capsys.readouterr().err
    assert f"{name} cannot be read: " in said and said.count("\n") == 1
    assert ("standard input is not read" if name == "-" else "a pipe, a socket or a device") in said


def test_a_pipe_in_a_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "input_1.pb")
    (tmp_path / "input_0.pb").touch()
    assert run(["audit", MODEL, "--probe", str(tmp_path), "-q"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_command_that_was_interrupted_within_the_users_code_ends_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "probe.py").write_text("def feeds():\n    raise KeyboardInterrupt\n    yield\n", encoding="utf-8")
    assert run(["audit", MODEL, "--probe", f"{tmp_path / 'probe.py'}:feeds"]) == 130
    assert capsys.readouterr() == ("", "deadunits: interrupted; no file was written.\n")


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", LONG],
        ["audit", MODEL, "--probe", LONG],
        ["audit", MODEL, "--probe", f"{LONG}.py:feeds"],
        ["audit", MODEL, "--probe", PROBE, "--holdout", LONG],
        ["audit", MODEL, "--json", LONG],
        ["check", MODEL, "--baseline", LONG],
        ["check", MODEL, "--config", LONG],
        ["prune", MODEL, "-o", LONG],
        ["prune", MODEL, "--dry-run", "--plan", LONG],
        ["compare", MODEL, LONG],
    ],
)
def test_a_name_that_is_too_long_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "-q"]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_odd_names_of_outputs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in (str(tmp_path / "circle"), "a\0b"):
        assert run(["audit", MODEL, "--json", name, "-q"]) == 2
        assert "cannot be written" in capsys.readouterr().err


def test_a_long_line_in_a_list_of_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text(LONG, encoding="utf-8")
    model = "sample_models/digits_cnn_torchscript/model.onnx"
    assert run(["audit", model, "--probe", str(tmp_path / "list.txt"), "-q"]) == 2
    assert "list.txt, line 1: no image file" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--plan", "--baseline", "--config"])
def test_a_file_that_is_nested_too_deep_is_refused(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text(("a = " if flag == "--config" else "") + "[" * 100_000, encoding="utf-8")
    command = ["prune", MODEL, "--dry-run"] if flag == "--plan" else ["check", MODEL]
    assert run([*command, flag, str(deep), "-q"]) == 2
    assert "deep.json is no" in capsys.readouterr().err.replace("is not JSON", "is no")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -m analyzer {command}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("command", [f"audit {MODEL}", f"audit {MODEL} --json -", "--help", "--version"])
@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
def test_standard_output_that_cannot_be_written_is_said(command: str, stream: str) -> None:
    done = shell(f"{command} {stream}")
    assert done.returncode == 2
    assert done.stderr.startswith("deadunits: Standard output cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_a_quiet_command_needs_no_standard_output() -> None:
    done = shell(f"audit {MODEL} -q >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [("check nope.onnx", 2), (f"check {MODEL} --nope", 2), (f"check {MODEL} --max-dead 0", 1), ("--help", 0)],
)
def test_the_code_is_the_same_where_nothing_can_be_said(stream: str, command: str, code: int) -> None:
    assert shell(f"{command} {stream}").returncode == code


def test_libraries_add_no_lines_to_the_one_sentence(tmp_path: Path) -> None:
    """A subprocess, because the test runner has log handlers of its own."""
    path = tmp_path / "model.onnx"
    path.write_bytes(Path(MODEL).read_bytes().replace(b"4.bias", b"4.bjas", 1))
    done = shell(f"audit {path} --probe {PROBE} -q")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_odd_palettes_are_no_reason_to_speak(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(np.zeros((8, 8), np.uint8), "L").convert("P")
    picture.save(tmp_path / "p.png", transparency=bytes(range(256)))
    done = shell(f"audit sample_models/digits_cnn_torchscript/model.onnx --probe {tmp_path} -q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("flags", "lines"), [("-q", 0), ("-q --debug", 3)])
def test_libraries_warn_only_who_debugs(flags: str, lines: int, tmp_path: Path) -> None:
    """Here the library is a probe file: what it warns of and what it logs."""
    probe = tmp_path / "probe.py"
    warn = "import logging, warnings\nwarnings.warn('old')\nlogging.getLogger('lib').warning('slow')\n"
    probe.write_text(f"{warn}import numpy\nfeeds = [numpy.ones((1, 64), 'f')]\n", encoding="utf-8")
    done = shell(f"audit {MODEL} --probe {probe} {flags}")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, "", lines), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", MODEL, "--json", "s.out", "--html", "./s.out"], "Two outputs have the same name"),
        (["check", MODEL, "--report", "json=s.out", "-o", "s.out"], "Two outputs have the same name"),
        (["audit", MODEL, "--html", "-"], "Only --json writes to standard output"),
        (["prune", MODEL, "-o", "-"], "Only --json writes to standard output"),
        (["check", MODEL, "-o", "-"], "Only --json writes to standard output"),
    ],
)
def test_outputs_that_would_be_lost_are_refused(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Path(MODEL).resolve()
    monkeypatch.chdir(tmp_path)
    assert run([str(model) if a == MODEL else a for a in arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_the_users_code_left_to_the_end_of_the_process_is_done(tmp_path: Path) -> None:
    """The process ends without taking its objects apart, but not without its last words."""
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import atexit, threading, time\nimport numpy as np\n"
        "def last(): time.sleep(0.5); print('thread')\n"
        "def feeds():\n"
        "    atexit.register(print, 'registered')\n"
        "    threading.Thread(target=last).start()\n"
        "    return {'pixels': np.zeros((4, 64), 'f')}\n",
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "analyzer", "audit", MODEL, "--probe", f"{probe}:feeds", "--quiet"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.split()) == (0, ["thread", "registered"])
