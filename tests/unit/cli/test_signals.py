"""A signal ends a command at once, wherever it is, in one sentence and with its own exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.models import parse

ROOT = Path(__file__).parents[3]
MODEL = str(ROOT / "sample_models/digits_mlp/model.onnx")
SIGNALS = [
    (signal.SIGINT, 130, "deadunits: interrupted; no file was written.\n"),
    (signal.SIGTERM, 143, "deadunits: ended by SIGTERM; no file was written.\n"),
    (signal.SIGHUP, 129, "deadunits: ended by SIGHUP; no file was written.\n"),
]
PROBING = """
import multiprocessing, os, pathlib, signal, time
import numpy as np

HERE = pathlib.Path(__file__).parent

def started():
    (HERE / "started").touch()
"""
WRITING = """
import signal, time
from pathlib import Path
from analyzer.cli.signals import end_on_signals
from analyzer.report.file_set import written_together
end_on_signals()
"""

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    pytest.mark.usefixtures("heeded_signals"),
]


def begun(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit that it is ignored
    try:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)} | options.pop("env", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def audit(model: str, folder: Path, feeds: str, *arguments: str) -> subprocess.Popen[str]:
    """An audit on a probe of this code, which calls `started()` once the signal may come."""
    (folder / "probe.py").write_text(PROBING + feeds, encoding="utf-8")
    return begun("-m", "analyzer", "audit", model, "--probe", f"{folder / 'probe.py'}:feeds", *arguments)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code", "sentence"), SIGNALS)
def test_a_running_audit_ends_with_one_line(number: int, code: int, sentence: str, tmp_path: Path) -> None:
    feeds = """
def feeds():
    while True:
        started()
        time.sleep(0.02)
        yield {"pixels": np.zeros((4, 64), "f")}
"""
    target = tmp_path / "audit.json"
    process = audit(MODEL, tmp_path, feeds, "--json", str(target))
    wait_for((tmp_path / "started").exists)
    process.send_signal(number)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", sentence)
    assert process.returncode == code
    assert not target.exists()


def test_it_is_noticed_where_the_users_code_takes_the_descriptor_that_wakes(tmp_path: Path) -> None:
    feeds = """
def feeds():
    signal.set_wakeup_fd(-1)
    started()
    for _ in range(3000):  # one sleep could begin just after the signal, and go on to its end
        time.sleep(0.02)
    yield {"pixels": np.zeros((4, 64), "f")}
"""
    process = audit(MODEL, tmp_path, feeds)
    wait_for((tmp_path / "started").exists)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", SIGNALS[1][2])


@pytest.mark.parametrize("answer", ["pass", "raise ImportError('cannot load') from None"])
@pytest.mark.parametrize(("number", "code", "sentence"), SIGNALS[:2])
def test_libraries_that_load_cannot_swallow_it(
    number: int, code: int, sentence: str, answer: str, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        f"""
import signal, time
try:
    signal.raise_signal({number})
    time.sleep(60)
except BaseException:
    {answer}
"""
    )
    process = begun("-m", "analyzer", "audit", MODEL, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert process.communicate(timeout=60) == ("", sentence)
    assert process.returncode == code


def test_it_does_not_wait_for_native_code(tmp_path: Path) -> None:
    """One run of this model takes ten seconds and more."""
    graph = """g (float[N,1,1600,1600] x) => (float[N,1,1600,1600] y) {
c = Conv <pads=[127,127,127,127]> (x, w)
y = Relu(c)
}"""
    onnx.save(parse(graph, {"w": np.ones((1, 1, 255, 255), np.float32)}), tmp_path / "slow.onnx")
    feeds = """
def feeds():
    started()
    yield np.ones((1, 1, 1600, 1600), "f")
"""
    process = audit(str(tmp_path / "slow.onnx"), tmp_path, feeds)
    wait_for((tmp_path / "started").exists)
    time.sleep(1)
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == SIGNALS[1][2]
    assert time.monotonic() - start < 3
    assert process.returncode == 143


ENDLESS = f"""g (float[N, 4] x) => (float[N, 4] y) {{
    rounds = Constant <value_int = {1 << 62}> ()
    more = Constant <value = bool {{1}}> ()
    h = Loop (rounds, more, x) <body = body (int64 i, bool c, float[N, 4] a) => (bool BODY}}>
    y = Relu(h)
}}"""


def test_it_ends_a_loop_without_end(tmp_path: Path) -> None:
    model = parse(ENDLESS.replace("BODY", "co, float[N, 4] b) { co = Identity(c) b = Abs(a) "))
    onnx.save(model, tmp_path / "endless.onnx")
    feeds = """
def feeds():
    started()
    yield np.ones((1, 4), "f")
"""
    process = audit(str(tmp_path / "endless.onnx"), tmp_path, feeds)
    wait_for((tmp_path / "started").exists)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", SIGNALS[0][2])
    assert process.returncode == 130


def test_a_run_that_does_not_heed_its_limit_ends_with_the_process(tmp_path: Path) -> None:
    """onnxruntime looks for the wish to end where a node begins, and the body of this loop has none."""
    onnx.save(parse(ENDLESS.replace("BODY", "c, float[N, 4] a) { ")), tmp_path / "endless.onnx")
    process = begun("-m", "analyzer", "audit", str(tmp_path / "endless.onnx"), "--run-limit", "0.5")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == (
        "deadunits: A run of the model took longer than 0.5 s, maybe in a loop: raise the limit (--run-limit SECONDS), "
        "or lower --batch-size; no file was written.\n"
    )


def test_files_that_are_getting_their_names_all_get_them(tmp_path: Path) -> None:
    code = """
rename = Path.replace

def replace(self, target):
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0.1)
    return rename(self, target)

Path.replace = replace
with written_together() as files:
    files.write(Path("a"), "new")
    files.write(Path("b"), "new")
time.sleep(60)
"""
    process = begun("-c", WRITING + code, cwd=tmp_path)
    assert process.communicate(timeout=60)[1] == "deadunits: ended by SIGTERM; these files were written before: a, b.\n"
    assert process.returncode == 143
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_drafts_are_taken_away(tmp_path: Path) -> None:
    code = """
with written_together() as files:
    files.write(Path("a"), "new")
    with files.folder(Path("b")) as folder:
        (folder / "b").write_text("new")
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
"""
    process = begun("-c", WRITING + code, cwd=tmp_path)
    assert process.communicate(timeout=60)[1] == SIGNALS[1][2]
    assert not list(tmp_path.iterdir())


def test_what_was_said_and_the_exit_code_agree_where_the_command_ends_meanwhile(tmp_path: Path) -> None:
    code = """
from analyzer import unfinished

unfinished.undo.append(lambda: time.sleep(0.5))
signal.raise_signal(signal.SIGTERM)
time.sleep(0.2)
"""
    process = begun("-c", WRITING + code, cwd=tmp_path)
    assert process.communicate(timeout=60)[1] == SIGNALS[1][2]
    assert process.returncode == 143


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    feeds = """
def feeds():
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(0.3)
    yield {"pixels": np.zeros((4, 64), "f")}
"""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    process = audit(MODEL, tmp_path, feeds, "-q")
    signal.signal(signal.SIGHUP, before)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_workers_of_the_users_code_can_be_ended_and_do_not_outlive_the_command(tmp_path: Path) -> None:
    feeds = """
def work():
    time.sleep(600)

def feeds():
    context = multiprocessing.get_context("fork")
    ended, left = context.Process(target=work), context.Process(target=work)
    ended.start()
    ended.terminate()
    ended.join()
    left.start()
    (HERE / "workers").write_text(f"{ended.exitcode} {left.pid}")
    started()
    time.sleep(60)
    yield {"pixels": np.zeros((4, 64), "f")}
"""
    process = audit(MODEL, tmp_path, feeds)
    wait_for(lambda: process.poll() is not None or (tmp_path / "started").exists())
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", SIGNALS[0][2])
    exit_code, left = map(int, (tmp_path / "workers").read_text().split())
    assert exit_code == -signal.SIGTERM
    wait_for(lambda: has_ended(left))


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_files_that_were_written_are_named_where_standard_output_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "analyzer", "audit", MODEL, "--json", str(target)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert process.returncode == 2
    said = "Standard output cannot be written: No space left on device; these files were written before"
    assert process.stderr == f"deadunits: {said}: {target}.\n"
    assert target.exists()


def test_a_model_that_is_tried_in_a_process_of_its_own_goes_with_it(tmp_path: Path) -> None:
    trying = tmp_path / "trying.py"
    tried = tmp_path / "tried"
    load = f"import os, pathlib, time; pathlib.Path({str(tried)!r}).write_text(str(os.getpid())); time.sleep(60)"
    trying.write_text(
        "from analyzer import unfinished\n"
        "from analyzer.cli.signals import end_on_signals\n"
        "from analyzer.runtime import default_load\n"
        f"default_load.LOAD = {load!r}\n"
        "end_on_signals()\n"
        "with unfinished.temporary_folder() as folder:\n"
        "    default_load.loads_by_default(folder / 'model.onnx')\n",
        encoding="utf-8",
    )
    (tmp_path / "temporary").mkdir()
    process = begun(str(trying), env={"TMPDIR": str(tmp_path / "temporary")})
    wait_for(lambda: tried.exists() and bool(tried.read_text()))
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "deadunits: ended by SIGTERM; no file was written.\n"
    assert not [*(tmp_path / "temporary").iterdir()]
    wait_for(lambda: has_ended(int(tried.read_text())))
