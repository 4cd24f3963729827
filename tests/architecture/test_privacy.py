"""Nothing of a model leaves the machine, and nothing is left in the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL, PROBE = (f"sample_models/digits_mlp_killed/{name}" for name in ("model.onnx", "probe.npz"))
# Python's own sockets as they are made; those of native libraries, which no hook sees, while they are open.
WATCH = """
import os, sys, threading
from pathlib import Path
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith("socket.") else None)
def watch(done):
    while not done.wait(0.01):
        look()
def look():
    for entry in Path("/proc/self/fd").glob("*") if Path("/proc/self/fd").is_dir() else ():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            seen.append(target)
done = threading.Event()
thread = threading.Thread(target=watch, args=[done])
thread.start()
try:
    {code}
    look()
finally:
    done.set()
    thread.join()
assert not seen, seen
"""
COMMANDS = [
    ["audit", MODEL, "--probe", PROBE, "--json", "{out}/audit.json", "--html", "{out}/audit.html"],
    ["prune", MODEL, "--probe", PROBE, "-o", "{out}/small.onnx"],
    ["check", MODEL, "--probe", PROBE],
    ["compare", MODEL, MODEL, "--probe", PROBE],
]
FROM_PYTHON = f"import analyzer; analyzer.audit({MODEL!r}, {PROBE!r}).prune()"


def watched(code: str, home: Path, **environment: str) -> list[str]:
    """What lies in an empty home folder after the code has run; it fails where a socket is opened."""
    folders = {
        "HOME": home,
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "XDG_STATE_HOME": home / "state",
        "XDG_RUNTIME_DIR": home / "runtime",
        "TMPDIR": home / "tmp",
    }
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    before = {str(path) for path in home.rglob("*")}
    kept = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH.replace("{code}", code)],
        env={**kept, "PYTHONPATH": str(ROOT), **{k: str(v) for k, v in folders.items()}, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted({str(path) for path in home.rglob("*")} - before)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_opens_no_socket_and_leaves_nothing_in_the_home_folder(command: list[str], tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    out.mkdir()
    arguments = [word.replace("{out}", str(out)) for word in command]
    assert watched(f"from analyzer.cli.main import run; assert run({arguments!r}) in (0, 1)", home) == []


def test_neither_does_a_call_from_python(tmp_path: Path) -> None:
    assert watched(FROM_PYTHON, tmp_path / "home") == []


def test_a_choice_of_the_user_about_telemetry_stands(tmp_path: Path) -> None:
    code = "import analyzer, os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"
    watched(code, tmp_path / "home", ORT_DISABLE_TELEMETRY="0")


def test_a_socket_would_be_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="socket"):
        watched("import socket; socket.socket()", tmp_path / "home")
