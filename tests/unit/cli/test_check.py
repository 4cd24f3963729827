"""`deadunits check`: sound models pass, the killed one fails for the right reasons, in every format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

import analyzer
from analyzer.cli.main import run
from analyzer.report.formats import RENDERERS

SAMPLES = Path(__file__).parents[3] / "sample_models"
BUDGETS = ["--max-dead", "15%", "--max-dead-layer", "50%"]
# The others are here to show damage: killed by a learning rate, saturated, pruned by sparse BatchNorm scales.
HEALTHY = (
    "digits_mlp",
    "digits_mlp_leaky",
    "digits_mlp_elu",
    "digits_jax_mlp",
    "digits_transformer",
    "wine_sklearn_mlp",
)


def data(name: str, *, holdout: bool = False) -> list[str]:
    folder = SAMPLES / name
    more = ["--holdout", str(folder / "holdout.npz")] if holdout else []
    return [str(folder / "model.onnx"), "--probe", str(folder / "probe.npz"), "--no-config", *more]


KILLED = ["check", *data("digits_mlp_killed")]


#: A state that a model gives out is an output: what is dead in it is reported until it is expected.
GIVEN_OUT = {"digits_gru_streaming": ["--expect-dead", "next_state:*"]}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SAMPLES.glob("*/model.onnx")))
def test_no_sample_model_fails_without_a_budget(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = GIVEN_OUT.get(name, [])
    assert run(["check", *data(name, holdout=True), *expected]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", GIVEN_OUT)
def test_dead_units_of_a_state_that_is_given_out_are_reported(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", *data(name, holdout=True)]) == 1
    assert "next_state" in capsys.readouterr().out


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_models_keep_sensible_budgets(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", *data(name), *BUDGETS]) == 0, capsys.readouterr().out


def test_the_killed_model_fails_for_the_right_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*KILLED, *BUDGETS, "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    errors = [(f["code"], f["value"]) for f in report["findings"] if f["severity"] == "error"]
    assert errors == [("DU015", ""), ("DU016", "/1/Relu_output_0"), ("DU016", "/3/Relu_output_0")]
    assert not report["passed"]


@pytest.mark.parametrize("name", RENDERERS["check"])
def test_every_format_names_the_findings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*KILLED, *BUDGETS, "--format", name]) == 1
    out, err = capsys.readouterr()
    for word in ("DU015", "DU016", "/1/Relu_output_0", "/3/Relu_output_0"):
        assert word in out
    assert err == ""


def test_several_reports_are_written_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = {"junit": tmp_path / "c.xml", "sarif": tmp_path / "c.sarif"}
    flags = [f"--report={name}={path}" for name, path in reports.items()]
    assert run([*KILLED, *BUDGETS, *flags, "--format", "json", "--output", str(tmp_path / "c.json")]) == 1
    assert capsys.readouterr().out == ""
    assert Xml.parse(reports["junit"]).getroot().attrib["failures"] == "2"
    assert json.loads(reports["sarif"].read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["schema"] == "deadunits.check/1"


def test_a_format_may_be_written_to_several_files(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    assert run([*KILLED, *BUDGETS, "-q", *(f"--report=json={file}" for file in files)]) == 1
    first, second = (file.read_text(encoding="utf-8") for file in files)
    assert first == second


def test_a_model_holds_its_own_baseline_and_another_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before.json"
    model, *probe = data("digits_mlp")[:3]
    assert run(["audit", model, *probe, "-q", "--json", str(before)]) == 0
    assert run(["check", *data("digits_mlp"), "--baseline", str(before)]) == 0
    capsys.readouterr()
    assert run([*KILLED, "--baseline", str(before), "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["baseline"]["same_probe"]
    assert {f["code"] for f in report["findings"] if f["severity"] == "error"} == {"DU009", "DU010"}


def test_settings_are_found_and_flags_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _, probe, _ = data("digits_mlp_killed")
    (tmp_path / "deadunits.toml").write_text(f"probe = {json.dumps(probe)}\nmax-dead = '5%'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run(["check", model, "-q"]) == 1
    assert run(["check", model, "-q", "--max-dead", "60%"]) == 0
    assert run(["check", model, "-q", "--ignore", "DU015"]) == 0
    assert run(["check", model, "-q", "--probe", probe, "--no-config"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-dead", "lots"], "max-dead = 'lots' is not a limit"),
        (["--max-dead-layer", "/a=lots"], "is not a limit"),
        (["--ignore", "DU3"], "not a finding code"),
        (["--ignore", "DU999"], "There is no finding DU999"),
        (["--severity", "DU003"], "write for example DU003=error"),
        (["--severity", "DU003=bad"], "choose one of error"),
        (["--format", "yaml"], "There is no format 'yaml'"),
        (["--report", "junit"], "write for example json=result.json"),
        (["--report", "junti=x"], "did you mean junit"),
        (["--baseline", "none.json"], "There is no baseline at"),
        (["--config", "none.toml"], "not both"),
        (["--expect-dead", "relu"], "not VALUE:UNITS"),
        (["--output", "no/such/folder/x"], "does not exist"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*KILLED, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_a_report_never_replaces_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    model = KILLED[1]
    assert run([*KILLED, "--output", model]) == 2
    assert "is an input" in capsys.readouterr().err


def test_explain_prints_the_page_of_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "du003"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("DU003 input-features-dead") and "\n\nWhat to do\n" in text
    assert "#" not in text and max(map(len, text.splitlines())) <= 80
    assert run(["explain", "DU999"]) == 2
    assert re.fullmatch(r"deadunits: There is no finding DU999: did you mean \w+ or \w+\?\n", capsys.readouterr().err)


def test_from_python() -> None:
    model, _, probe, _ = data("digits_mlp_killed")
    healthy = analyzer.audit(SAMPLES / "digits_mlp" / "model.onnx", SAMPLES / "digits_mlp" / "probe.npz")
    result = analyzer.check(model, probe, budgets={"max-dead": "15%"}, baseline=healthy)
    assert not result.passed
    assert {"DU009", "DU010", "DU015"} <= {finding.code for finding in result.findings}
    assert result.comparison is not None and result.comparison.same_probe
    assert result.to_dict()["passed"] is False
    assert "DU015" in result.report("github")
    assert "failed" in repr(result)
    with pytest.raises(analyzer.InputError, match="no setting 'max-ded'"):
        analyzer.check(model, probe, budgets={"max-ded": 1})


def test_the_help_names_the_table_of_the_settings_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["check", "--help"]) == 0
    assert "[tool.deadunits]" in capsys.readouterr().out


def test_a_severity_for_mostly_dead_layers_holds_for_those_that_the_weights_kill() -> None:
    pruned_by_hand = ["check", *data("digits_cnn_dynamo")]
    assert run(pruned_by_hand) == 0
    assert run([*pruned_by_hand, "--severity", "DU014=error"]) == 1
    assert run([*pruned_by_hand, "--severity", "DU014=error", "--severity", "DU027=note"]) == 0


def test_json_on_the_screen_goes_beside_another_report_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*KILLED, "--format", "junit", "-o", str(tmp_path / "x.xml"), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "deadunits.check/1"
    assert (tmp_path / "x.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert run([*KILLED, "--format", "markdown", "--json", "-"]) == 2
    assert "both write to standard output" in capsys.readouterr().err


def test_the_page_says_what_failed_and_is_written_where_it_fails_too(tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    assert run([*KILLED, *BUDGETS, "--html", str(page), "--quiet"]) == 1
    text = page.read_text(encoding="utf-8")
    assert "<title>FAILED: Check of" in text
    assert "100 of 170 units (58.8 %)" in text
    assert 'data-layer="0"' in text  # the audit follows


def test_a_result_is_a_page_and_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    folder = SAMPLES / "digits_mlp"
    result = analyzer.check(folder / "model.onnx", folder / "probe.npz", budgets={"max-dead": "15%"})
    result.to_html(tmp_path / "check.html")
    assert "<title>passed: Check of" in (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "passed</b>: 1 note" in result._repr_html_()
