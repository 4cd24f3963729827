"""`deadunits prune`: what it writes, what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.cli.main import run
from tests.equivalence.agree import run as outputs
from tests.equivalence.agree import same
from tests.promised import satisfies

FOLDER = Path("sample_models/digits_mlp_killed")
MODEL, PROBE, HOLDOUT = (str(FOLDER / name) for name in ("model.onnx", "probe.npz", "holdout.npz"))
DIGITS = [MODEL, "--probe", PROBE, "--no-latency"]


def prune(*arguments: object) -> int:
    return run(["prune", *map(str, arguments)])


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_it_writes_a_smaller_model_that_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.onnx"
    before = Path(MODEL).read_bytes()
    assert prune(MODEL, "--probe", PROBE, "--holdout", HOLDOUT, "-o", out) == 0
    text, err = capsys.readouterr()
    assert err == ""
    assert Path(MODEL).read_bytes() == before
    assert squeezed(text).startswith("Saves 81.6 % of the parameters;")
    assert "The holdout revives 4 removed units" in text
    assert f"Written  {out}" in text
    assert out.stat().st_size < len(before) / 4
    with np.load(PROBE) as data:
        feeds = {name: data[name] for name in data}
    same(outputs(MODEL, feeds), outputs(out, feeds))


def test_the_json_follows_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        prune(MODEL, "--probe", PROBE, "--holdout", HOLDOUT, "-o", tmp_path / "o.onnx", "--json", tmp_path / "o.json")
        == 0
    )
    report = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    satisfies("prune", report)
    assert report["schema"] == "deadunits.prune/1"
    assert report["after"]["parameters"] == 1972
    assert report["after"]["bytes"] == (tmp_path / "o.onnx").stat().st_size
    assert report["comparison"]["within"]
    assert not report["comparison"]["holdout"]["within"]
    assert report["latency"]["runs"] >= 7
    assert len(report["removed_units"]["/1/Relu_output_0"]) == 51
    capsys.readouterr()
    assert prune(*DIGITS, "--dry-run", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["latency"] is None


def test_two_runs_write_the_same_bytes_and_a_second_prune_nothing_new(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx"))
    assert prune(*DIGITS, "-o", one, "-q") == prune(*DIGITS, "-o", two, "-q") == 0
    assert one.read_bytes() == two.read_bytes()
    assert prune(one, "--probe", PROBE, "-o", three, "-q") == 0
    assert three.read_bytes() == one.read_bytes()


def test_masks_and_plan_come_together_and_the_plan_can_be_edited(tmp_path: Path) -> None:
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx", "--masks", tmp_path / "m.npz", "-q") == 0
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    plan["units"] = {"/5/Relu_output_0": plan["units"]["/5/Relu_output_0"][:3]}
    (tmp_path / "mine.json").write_text(json.dumps(plan), encoding="utf-8")
    assert prune(*DIGITS, "-o", tmp_path / "b.onnx", "--plan", tmp_path / "mine.json", "-q") == 0
    shapes = {i.name: tuple(i.dims) for i in onnx.load(str(tmp_path / "b.onnx")).graph.initializer}
    assert shapes["6.weight"] == (10, 29)
    assert shapes["0.weight"] == (64, 64)


def test_a_lossy_prune_leads_with_the_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alive = next(i for i in range(64) if i not in dead_units())
    arguments = [*DIGITS, "-o", tmp_path / "a.onnx", "--lossy", f"/1/Relu_output_0:{alive}"]
    assert prune(*arguments, "--json", tmp_path / "a.json") == 0
    assert squeezed(capsys.readouterr().out).startswith(
        "Not exact: 1 unit went that is not dead; the outputs change by up to"
    )
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["lossy_units"] == {"/1/Relu_output_0": [alive]}


def dead_units() -> set[int]:
    import analyzer

    return set(analyzer.audit(MODEL, PROBE).layers[0].dead)


def test_quiet_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_a_dry_run_writes_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx", "--dry-run") == 0
    assert not list(tmp_path.iterdir())
    assert "Written  nothing (--dry-run)" in capsys.readouterr().out


def test_nothing_to_remove_is_written_byte_for_byte_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prune(MODEL, "-o", tmp_path / "a.onnx") == 0
    assert (tmp_path / "a.onnx").read_bytes() == Path(MODEL).read_bytes()
    text = capsys.readouterr().out
    assert "Nothing to remove" in text
    assert "the same bytes as the original" in text
    assert prune(MODEL, "-o", tmp_path / "b.onnx", "--if-nothing", "skip") == 0
    assert not (tmp_path / "b.onnx").exists()
    assert "nothing (--if-nothing skip)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "-o OUT.onnx"),
        (["-o", MODEL], "is an input"),
        (["-o", PROBE], "is an input"),
        (["-o", "{tmp}/a.onnx", "--json", "{tmp}/a.onnx"], "same name"),
        (["-o", "{tmp}/plan.json", "--masks", "{tmp}/m.npz"], "same name"),
        (["-o", "{tmp}/none/a.onnx"], "does not exist"),
        (["-o", "{tmp}/a.onnx", "--masks", "."], "is a folder"),
        (["-o", "{tmp}/a.onnx", "--plan", "{tmp}/none.json"], "cannot be read"),
        (["-o", "{tmp}/a.onnx", "--plan", PROBE], "is no JSON"),
        (["-o", "{tmp}/a.onnx", "--plan", "sample_models/manifest.json"], "not a deadunits plan"),
        (["-o", "{tmp}/a.onnx", "--lossy", "relu"], "is not VALUE:UNIT"),
        (["-o", "{tmp}/a.onnx", "--lossy", "relu:9-3"], "is not VALUE:UNIT"),
        (["-o", "{tmp}/a.onnx", "--lossy", "relu:3"], "no layer 'relu'"),
        (["-o", "{tmp}/a.onnx", "--only", "nope*"], "No layer matches"),
        (["-o", "{tmp}/a.onnx", "--max-firing-bound", "often"], "is not a share"),
        (["-o", "{tmp}/a.onnx", "--evidence", "refuted"], "choose structural, proven or observed"),
        (["-o", "{tmp}/a.onnx", "--evidence", "hearsay"], "choose structural"),
        (["-o", "{tmp}/a.onnx", "--budget", "5s"], "--budget is the time to search a domain: give --domain"),
        (["-o", "{tmp}/a.onnx", "--domain", "0:1", "--budget", "soon"], "is no number of seconds"),
        (["-o", "{tmp}/a.onnx", "--domain", "pixel"], "did you mean pixels"),
        (["-o", "{tmp}/a.onnx", "--if-nothing", "cry"], "neither copy nor skip"),
        (["-o", "{tmp}/a.onnx", "--residual", "some"], "choose off, params or latency"),
        (["-o", "{tmp}/a.onnx", "--round-to", "0"], "at least 1"),
    ],
)
def test_a_wrong_call_ends_with_code_2_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert prune(*DIGITS, *given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in squeezed(err)
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_model_that_differs_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyzer.rewrite.shrink import Shrinker

    honest = Shrinker._cut_tensors

    def wrong(self: Any) -> None:
        honest(self)
        array = self.context.graph.constant("6.bias")
        self.editor.set_tensor("6.bias", array + np.float32(50))

    monkeypatch.setattr(Shrinker, "_cut_tensors", wrong)
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx", "--json", tmp_path / "a.json", "--masks", tmp_path / "m.npz") == 3
    err = capsys.readouterr().err
    assert "differs from the original in logits" in err
    assert "the first value that differs is" in err
    assert "nothing was written" in err
    assert not list(tmp_path.iterdir())


def test_the_report_can_be_read_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx", "--all") == 0
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 40 or line.startswith("Written")


def test_a_closed_pipe_is_no_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError

    monkeypatch.setattr("sys.stdout", Closed())
    assert prune(*DIGITS, "-o", tmp_path / "a.onnx") == 141
    assert (tmp_path / "a.onnx").exists()


def test_units_near_waking_stay_when_a_distance_is_asked_for(tmp_path: Path) -> None:
    sizes = []
    for distance in (0, 2):
        path = tmp_path / f"{distance}.onnx"
        assert prune(*DIGITS, "-o", path, "--min-distance", distance, "--quiet") == 0
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1] < Path(MODEL).stat().st_size


def test_the_page_shows_before_and_after(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert prune(*DIGITS, "-o", tmp_path / "small.onnx", "--html", page, "--quiet") == 0
    text = page.read_text(encoding="utf-8")
    order = [
        '<h1 id="pruned-title">Saves ',
        "The same outputs, up to rounding",
        "Parameters",
        '<h2 id="summary-title">',
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)


def test_what_a_library_says_of_old_operators_is_not_in_the_report(tmp_path: Path) -> None:
    text = """
    <ir_version: 4, opset_import: ["" : 7]>
    g (float[N,2] x) => (float[N,2] y) <float[2,3] w = {1,0,0, 2,0,0}, float[3,2] v = {1,2,3,4,5,6}>
    { a = Affine<alpha = 1.0, beta = 0.0>(x)  h = MatMul(a, w)  r = Relu(h)  y = MatMul(r, v) }
    """
    model = onnx.parser.parse_model(text)
    onnx.save(model, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.ones((9, 2), np.float32))
    call = [sys.executable, "-m", "analyzer", "prune", "m.onnx", "--probe", "x.npy", "-o", "s.onnx", "--json", "-"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["changed"]
