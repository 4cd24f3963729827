"""Damaged models, data and settings end with 0, 1 or 2 and one sentence, whatever is wrong with them.

What fails can be tried by hand: `attempt(family, seed).write(folder)` puts the files there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.attempts import Attempt, faults
from tests.mutants.damaged_arrays import one_input
from tests.mutants.families import FAMILIES, attempt
from tests.mutants.workers import Worker

COUNTS = {"nightly": 2000, "ci": 200}
COUNT = COUNTS.get(os.environ.get("HYPOTHESIS_PROFILE", "dev"), 100)
CASES = Path(__file__).parent / "cases"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    process = Worker()
    yield process
    process.close()


def share(family: str) -> int:
    return -(-COUNT * FAMILIES[family][0] // sum(weight for weight, _ in FAMILIES.values()))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_damaged_is_audited_or_refused_in_one_sentence(family: str, worker: Worker) -> None:
    wrong = []
    for seed in range(share(family)):
        damaged = attempt(family, seed)
        wrong += [(seed, " ".join(damaged.arguments), fault) for fault in faults(damaged, worker.run(damaged))]
    assert not wrong


CALLS = (
    ("audit", "--quiet"),
    ("audit", "--random", "4", "--quiet"),
    ("prune", "-o", "out/small.onnx", "--no-latency", "--quiet"),
    ("prune", "--random", "4", "-o", "out/small.onnx", "--no-latency", "--quiet"),
    ("check", "--format", "json"),
)


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda path: path.stem)
def test_what_failed_once_never_fails_again(case: Path, worker: Worker) -> None:
    files = {case.name: case.read_bytes()}
    calls = [(command, case.name, *flags) for command, *flags in CALLS]
    if case.suffix != ".onnx":
        files["model.onnx"] = one_input()
        calls = [("audit", "model.onnx", "--probe", case.name, "--quiet")]
    for arguments in calls:
        tried = Attempt(files, arguments)
        assert list(faults(tried, worker.run(tried))) == [], arguments


def test_the_same_seed_makes_the_same_call() -> None:
    for family in FAMILIES:
        assert attempt(family, 7) == attempt(family, 7)


def test_processes_that_die_or_hang_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mutants.workers.PATIENCE", 8)
    process = Worker()
    probe = b"import os, time\nfeeds = os.abort if '{how}' == 'die' else (lambda: time.sleep(99))\n"
    outcomes = []
    for how in ("die", "hang"):
        script = probe.replace(b"{how}", how.encode())
        model = attempt("csv", 0).files["model.onnx"]
        tried = Attempt({"model.onnx": model, "p.py": script}, ("audit", "model.onnx", "--probe", "p.py"))
        outcomes += [fault for fault in faults(tried, process.run(tried)) if "ends with None" in fault]
    process.close()
    assert len(outcomes) == 2, outcomes
