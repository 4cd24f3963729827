"""`--engine processes` as it is used: workers that are killed, commands that are ended, scripts and pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer import Data, InputError, Run
from analyzer.cli.main import run
from analyzer.observe.statistics_file import read_statistics, to_bytes
from tests.laws.shards import without_time

ROOT = Path(__file__).parents[3]
KILLED = ROOT / "sample_models" / "digits_mlp_killed"
MODEL, PROBE = str(KILLED / "model.onnx"), str(KILLED / "probe.npz")
PATIENCE = 60.0
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc for workers")


def workers_of(parent: int) -> list[int]:
    """The workers of a process that are alive."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z" and b"worker_process" in (folder / "cmdline").read_bytes():
                alive.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return alive


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_proc
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_is_replaced(workers: int) -> None:
    pixels, chance, killed_workers = np.load(PROBE)["pixels"][:300], Random(workers), list[int]()

    def feeds() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(pixels):
            if number == 20:
                wait_for(lambda: workers_of(os.getpid()))
            if number in {20, 120, 220} and (alive := workers_of(os.getpid())):
                killed_workers.append(chance.choice(alive))
                with suppress(ProcessLookupError):  # one that was killed before, as nobody has seen it yet
                    os.kill(killed_workers[-1], signal.SIGKILL)
            yield {"pixels": row[None]}

    whole = analyzer.take_statistics(MODEL, Data(feeds_of(pixels)), run=Run(batch_size=2))
    killed = analyzer.take_statistics(MODEL, Data(feeds()), run=Run(batch_size=2, engine=f"processes:{workers}"))
    assert killed_workers
    assert without_time(killed) == without_time(whole)
    assert not workers_of(os.getpid())


def feeds_of(pixels: Any) -> Iterator[dict[str, Any]]:
    for row in pixels:
        yield {"pixels": row[None]}


@needs_proc
def test_no_worker_outlives_an_error() -> None:
    def feeds() -> Iterator[dict[str, Any]]:
        yield from feeds_of(np.load(PROBE)["pixels"][:20])
        wait_for(lambda: workers_of(os.getpid()))
        raise InputError("this is the end")

    with pytest.raises(InputError, match="this is the end"):
        analyzer.take_statistics(MODEL, Data(feeds()), run=Run(batch_size=2, engine="processes:2"))
    assert not workers_of(os.getpid())


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """A probe that takes a second and more to read."""
    (tmp_path / "slow.py").write_text(
        f"import time, numpy as np\ndef feeds():\n    for row in np.load({PROBE!r})['pixels'][:100]:\n"
        "        time.sleep(0.02)\n        yield row[None]\n"
    )
    return f"{tmp_path}/slow.py:feeds"


def started(probe: str, output: Path, *arguments: str) -> subprocess.Popen[str]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit that it is ignored
    command = [sys.executable, "-m", "analyzer", "observe", MODEL, "--probe", probe, "-q", "-o", str(output)]
    options = ["--batch-size", "2", "--engine", "processes:2", *arguments]
    try:
        return subprocess.Popen(
            [*command, *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


@needs_proc
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_command_that_is_ended(number: signal.Signals, slow: str, tmp_path: Path) -> None:
    process = started(slow, tmp_path / "out.stats")
    wait_for(lambda: len(workers_of(process.pid)) == 2)
    workers = workers_of(process.pid)
    time.sleep(0.3)
    os.killpg(process.pid, number)  # as a terminal sends Ctrl-C, to all of the group
    said = process.communicate(timeout=PATIENCE)[1]
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert said.count("\n") == 1, said
        assert "no file was written" in said
    wait_for(lambda: not any(b"worker_process" in cmdline(worker) for worker in workers))
    assert not (tmp_path / "out.stats").exists()


def cmdline(worker: int) -> bytes:
    try:
        return Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return b""


@needs_proc
def test_processes_go_on_where_they_were_killed(slow: str, tmp_path: Path) -> None:
    output, partial = tmp_path / "out.stats", tmp_path / "out.stats.partial"
    process = started(slow, output, "--checkpoint", "0.2")
    wait_for(partial.exists)
    process.kill()
    process.communicate()
    begun = read_statistics(partial)
    assert 0 < begun.record.samples == begun.counted.samples < 100
    assert run(["observe", MODEL, "--probe", slow, "-q", "-o", str(output), "--batch-size", "2", "--resume"]) == 0
    whole = analyzer.take_statistics(MODEL, Data(PROBE, limit=100), run=Run(batch_size=2))
    resumed = read_statistics(output)
    assert resumed.record.samples == resumed.counted.samples == 100
    named = replace(resumed, data=whole._tallies.data, microseconds=0)
    assert to_bytes(named) == without_time(whole)


SCRIPT = f"""
print("begun")
import analyzer
run = analyzer.Run(engine="processes:2", batch_size=4)
print(analyzer.take_statistics({MODEL!r}, analyzer.Data({PROBE!r}, limit=40), run=run).samples)
"""


@pytest.mark.parametrize("by", ["file", "pipe"])
def test_a_script_is_run_once(by: str, tmp_path: Path) -> None:
    """Without `if __name__ == "__main__"`; a notebook, or what comes through a pipe, has no file at all."""
    (tmp_path / "script.py").write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, str(tmp_path / "script.py") if by == "file" else "-"],
        input=None if by == "file" else SCRIPT,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=PATIENCE,
    )
    assert (result.stdout, result.stderr) == ("begun\n40\n", "")


def test_other_engines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for engine in ("threads", "local:2", "processes:0", "processes:-1", "processes:9999", "ray://", "ray:x"):
        assert run(["audit", MODEL, "--probe", PROBE, "--engine", engine]) == 2
        assert capsys.readouterr().err.startswith(f"deadunits: --engine is {engine!r}: ")


def test_an_audit_takes_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for engine in ("local", "processes:2"):
        words = ["audit", MODEL, "--probe", PROBE, "--limit", "60", "--engine", engine, "--json", "-"]
        assert run([*words]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["audit", MODEL, "--probe", PROBE, "--engine", "ray"]) == 2
    assert capsys.readouterr().err == 'deadunits: The engine ray needs Ray: pip install "deadunits[ray]".\n'
