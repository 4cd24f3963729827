"""`deadunits prove`: what it says, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import analyzer
from analyzer.cli.main import run
from tests.shipped import schema_of

ROOT = Path(__file__).parents[3]
KILLED = ROOT / "sample_models/digits_mlp_killed"
CALL = ["prove", str(KILLED / "model.onnx"), "--probe", str(KILLED / "probe.npz"), "--budget", "5s"]
ENDLESS = """
import os, sys
from pathlib import Path
import analyzer.witness.search as search
search.IN_VAIN = 1 << 60
look = search.Search._look
def seen(self, *given):
    look(self, *given)
    if self.tried > 900:
        Path(os.environ["STARTED"]).touch()
search.Search._look = seen
from analyzer.__main__ import main
sys.exit(main())
"""


def test_the_report_counts_and_says_what_proven_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CALL, "--domain", "0:1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Of 100 units dead on the probe: ")
    assert "Claims of 300 samples of probe.npz, held against every input of the domain" in out
    assert "in float32 in any order of summation" in " ".join(out.split())
    assert "CONDITIONAL" not in out
    assert err == ""


def test_json_satisfies_its_schema_and_witnesses_are_written_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = tmp_path / "found", tmp_path / "proof.json"
    assert run([*CALL, "--domain", "0:1", "--witnesses", str(folder), "--json", str(file)]) == 0
    document = json.loads(file.read_text())
    jsonschema.validate(document, schema_of("prove"))
    assert document["schema"] == "deadunits.prove/1"
    counts = document["totals"]["dead"]
    assert counts["claims"] == 100 == sum(counts[o] for o in ("proven", "refuted", "negligible", "open"))
    assert counts["refuted"] >= 50
    with np.load(folder / "witnesses.npz") as witnesses:
        assert len(witnesses["pixels"]) == document["witnesses"]
    assert f"Written  {folder / 'witnesses.npz'}" in capsys.readouterr().out.replace("\n", "")
    audit = analyzer.audit(KILLED / "model.onnx", folder / "witnesses.npz")
    refuted = {(u["value"], u["unit"]) for u in document["units"] if u["outcome"] == "refuted"}
    dead = {(layer.value, unit) for layer in audit.layers for unit in layer.dead}
    assert not refuted & dead


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CALL, "--domain", "0:1", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--domain", "pixel"], "did you mean pixels"),
        (["--domain", "0:0.5"], "lies outside of the domain"),
        (["--domain", "missing.vnnlib"], "cannot be read"),
        (["--domain", "0:1", "--budget", "soon"], "--budget 'soon' is no number of seconds"),
        (["--domain", "0:1", "--json", str(KILLED / "model.onnx")], "is an input of this audit"),
        (["--domain", "0:1", "--format", "html"], "There is no format 'html'"),
        (["--domain", "0:1", "--random", "5"], "No such option: --random"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CALL, *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("command", ["prove", "audit"])
def test_ctrl_c_ends_the_search_and_keeps_what_is_settled(command: str, tmp_path: Path) -> None:
    started, file = tmp_path / "started", tmp_path / "proof.json"
    arguments = [command, *CALL[1:-2], "--budget", "600", "--domain", "0:1", "--json", str(file)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "STARTED": str(started)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not started.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "The search was interrupted" in out
    assert err == ""
    document = json.loads(file.read_text())
    document = document["proof"] if command == "audit" else document
    assert document["ended_by"] == "interrupted"
    assert document["totals"]["dead"]["refuted"] > 10
