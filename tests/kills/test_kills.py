"""Commands that write several files, ended by signals at random moments: each file is whole, and what is said is true.

What comes before a command has its handlers is not judged: until then it is Python that starts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

COUNT = {"nightly": 300, "ci": 12}.get(os.environ.get("HYPOTHESIS_PROFILE", "dev"), 12)
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_models" / "digits_mlp_killed"
PATIENCE = 120.0  # seconds for one command on a busy machine
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAID = re.compile(
    r"deadunits: (interrupted|ended by SIGTERM|ended by SIGHUP); "
    r"(no file was written|these files were written before: (?P<files>.+))\.\n"
)
LEFT_BY_SIGKILL = re.compile(r"\..{1,40}\.[0-9a-f]{8}\.(part|old)")
OLD = b"what was there before"

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc for handlers"),
    pytest.mark.usefixtures("heeded_signals"),
]


@dataclass(frozen=True)
class Case:
    """The words of a command, `OUT` for the folder it writes to, and the names of its files."""

    words: str
    names: tuple[str, ...]


CASES = (
    Case("audit model.onnx --probe probe.npz --json OUT/a.json --html OUT/a.html", ("a.json", "a.html")),
    Case(
        "prune model.onnx --probe probe.npz --no-latency -o OUT/s.onnx --masks OUT/m.npz --json OUT/p.json "
        "--html OUT/p.html",
        ("s.onnx", "m.npz", "plan.json", "p.json", "p.html"),
    ),
    Case(
        "prune beside.onnx --probe probe.npz --no-latency -o OUT/s.onnx --json OUT/p.json",
        ("s.onnx", "s.onnx.data", "p.json"),
    ),
    Case(
        "check model.onnx --probe probe.npz --max-dead 0 --json OUT/c.json -o OUT/c.txt --report junit=OUT/c.xml",
        ("c.json", "c.txt", "c.xml"),
    ),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, the same model with its weights beside, and a probe."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("model.onnx", "probe.npz"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "beside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return folder


@pytest.fixture(scope="module")
def seconds(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, float]:
    """How long each command takes that is left alone."""
    lasted = {}
    for case in CASES:
        out = tmp_path_factory.mktemp("whole")
        start = time.monotonic()
        process = started(case, inputs, out)
        said = process.communicate(timeout=PATIENCE)[1]
        lasted[case] = time.monotonic() - start
        assert (process.returncode in (0, 1), said) == (True, "")
        assert {path.name for path in out.iterdir()} == set(case.names)
        assert all(is_whole(out / name) for name in case.names)
    return lasted


def started(case: Case, inputs: Path, out: Path) -> subprocess.Popen[str]:
    words = case.words.replace("OUT", str(out)).split()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit that it is ignored
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "analyzer", *words, "--quiet"],
            cwd=inputs,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def is_whole(path: Path) -> bool:
    """Whether all of a new file is there."""
    read: dict[str, Callable[[Path], object]] = {
        ".json": lambda path: json.loads(path.read_bytes()),
        ".html": lambda path: path.read_text(encoding="utf-8").rstrip().endswith("</html>") or None,
        ".txt": lambda path: path.read_text(encoding="utf-8").endswith("\n") or None,
        ".xml": lambda path: ElementTree.parse(path),
        ".npz": lambda path: [np.load(path)[name] for name in np.load(path).files],
        ".onnx": lambda path: onnx.load(path).SerializeToString(),  # with what lies beside it
        ".data": lambda path: path.stat().st_size or None,
    }
    return read[path.suffix](path) is not None


def has_handlers(process: subprocess.Popen[str]) -> bool:
    """Whether the command has ended, or has handlers for the signals that end it."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
    return all(caught >> (number - 1) & 1 for number in ENDING)


def wait_for(happened: Callable[[], bool], pause: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(pause)


def is_replaced(path: Path) -> bool:
    """Whether a file that was there before has got, or is just getting, new content: a model is away meanwhile."""
    try:
        return path.read_bytes() != OLD
    except FileNotFoundError:
        return True


def moment(random: Random, process: subprocess.Popen[str], out: Path, lasts: float) -> None:
    """Wait for a moment of the command: any, one after its first draft, or one while its files get their names."""

    def new(hidden: bool) -> bool:
        names = (path for path in out.iterdir() if path.name.startswith(".") == hidden)
        return process.poll() is not None or any(hidden or is_replaced(path) for path in names)

    wait_for(partial(has_handlers, process), 0.001)
    kind = random.choice(("any", "drafts", "names"))
    if kind == "any":
        time.sleep(random.uniform(0, lasts))
    elif kind == "drafts":
        wait_for(lambda: new(hidden=True), 0.0005)
        time.sleep(random.uniform(0, 0.3) ** 2)
    else:
        wait_for(lambda: new(hidden=False), 0)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def killed(random: Random, process: subprocess.Popen[str]) -> set[int]:
    """Send a signal, or two in a row; returns which."""
    first = random.choice((*ENDING, signal.SIGKILL))
    process.send_signal(first)
    if first == signal.SIGKILL or random.random() < 0.7:
        return {first}
    time.sleep(random.uniform(0, 0.02))
    process.send_signal(second := random.choice(ENDING))
    return {first, second}


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_signal_leaves_whole_files_and_a_true_sentence(
    seed: int, inputs: Path, seconds: dict[Case, float], tmp_path: Path
) -> None:
    random = Random(seed)
    case = random.choice(CASES)
    before = dict.fromkeys(case.names, OLD) if random.random() < 0.5 else {}
    for name, old in before.items():
        (tmp_path / name).write_bytes(old)
    inputs_before = content(inputs)
    with started(case, inputs, tmp_path) as process:
        try:
            moment(random, process, tmp_path, seconds[case])
            sent = killed(random, process)
            said = process.communicate(timeout=PATIENCE)[1]
        finally:
            process.kill()
    after = content(tmp_path)
    assert content(inputs) == inputs_before
    assert "Traceback" not in said
    if process.returncode == -signal.SIGKILL:
        judge_sigkill(case, tmp_path, before, after)
    elif process.returncode in (0, 1):  # it was faster
        assert (said, new_files(case, tmp_path)) == ("", set(case.names))
    else:
        assert process.returncode in {128 + number for number in sent}
        sentence = SAID.fullmatch(said)
        assert sentence, said
        if sentence["files"] is None:
            assert after == before
        else:
            assert {Path(name).name for name in sentence["files"].split(", ")} == set(case.names)
            assert new_files(case, tmp_path) == set(case.names)
    if process.returncode != -signal.SIGKILL:
        assert after.keys() <= set(case.names)


def new_files(case: Case, out: Path) -> set[str]:
    """The files that are new; asserts that they are whole."""
    new = {name for name in case.names if (out / name).exists() and (out / name).read_bytes() != OLD}
    assert all(is_whole(out / name) for name in new)
    return new


def judge_sigkill(case: Case, out: Path, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Nothing can be done against SIGKILL: what is left is named so that it is known, and no name has half a file."""
    left = after.keys() - set(case.names)
    assert all(LEFT_BY_SIGKILL.fullmatch(name) for name in left | {p.name for p in out.iterdir() if p.is_dir()})
    gone = before.keys() - after.keys()
    assert gone <= {"s.onnx"}, "only a model is ever away, while its weights are replaced"
    if gone:
        assert OLD in [after[name] for name in left if name.endswith(".old")]
    new = new_files(case, out)
    if "s.onnx" in new and "s.onnx.data" in case.names:
        assert "s.onnx.data" in new
