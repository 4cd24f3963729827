"""`deadunits compare`, and the causes in `audit` and `explain`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import analyzer
from analyzer.cli.main import run

SAMPLES = Path("sample_models")
HEALTHY, KILLED = (str(SAMPLES / name / "model.onnx") for name in ("digits_mlp", "digits_mlp_killed"))
PROBE = str(SAMPLES / "digits_mlp" / "probe.npz")
HOLDOUT = str(SAMPLES / "digits_mlp_killed" / "holdout.npz")


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_two_models_on_one_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", HEALTHY, KILLED, "--probe", PROBE]) == 0
    out, err = capsys.readouterr()
    assert "90 units died, 7 revived, 10 stayed dead" in squeezed(out)
    assert err == ""


def test_a_course_of_several_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["compare", *[HEALTHY, KILLED] * 5, "--probe", PROBE, "--limit", "20", "--all"]) == 0
    assert "dead 10" in capsys.readouterr().out


def test_one_model_on_two_probes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", KILLED, "--probe", PROBE, "--probe", HOLDOUT]) == 0
    assert "0 units died, 4 revived, 96 stayed dead" in squeezed(capsys.readouterr().out)


def test_a_comparison_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", HEALTHY, KILLED, "--probe", PROBE, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"] == {"died": 90, "revived": 7, "stayed": 10}


def test_a_comparison_into_a_file_can_be_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "c.json"
    assert run(["compare", HEALTHY, KILLED, "--probe", PROBE, "--limit", "9", "-q", "--json", str(target)]) == 0
    assert capsys.readouterr() == ("", "")
    assert json.loads(target.read_text(encoding="utf-8"))["schema"] == "deadunits.compare/1"


@pytest.mark.parametrize(
    "arguments",
    [
        [HEALTHY, "--probe", PROBE],
        [HEALTHY],
        [HEALTHY, KILLED, "--probe", PROBE, "--probe", HOLDOUT],
        [HEALTHY, KILLED, "--probe", PROBE, "--json", HEALTHY],
    ],
)
def test_what_cannot_be_compared_ends_with_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("deadunits: ") and err.count("\n") == 1


def test_the_audit_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", KILLED, "--probe", PROBE]) == 0
    out = squeezed(capsys.readouterr().out)
    assert "72 units weights-dominate" in out
    assert "Fragile: " in out
    assert "May help: " in out


def test_all_adds_a_histogram_for_each_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", KILLED, "--probe", PROBE, "--all"]) == 0
    assert "units by distance in standard deviations" in squeezed(capsys.readouterr().out)


def test_the_audit_need_not_ask_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", KILLED, "--probe", PROBE, "--no-causes"]) == 0
    assert "Why" not in capsys.readouterr().out


def test_explain_tells_cause_and_distance(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", KILLED, "--probe", PROBE, "--unit", "/1/Relu_output_0:33"]) == 0
    out = squeezed(capsys.readouterr().out)
    assert "Why: bias-dominates" in out
    assert "0.24 of its standard deviations" in out


def test_a_model_that_was_cut_from_another_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, fresh = str(tmp_path / "small.onnx"), str(tmp_path / "fresh.onnx")
    assert run(["prune", KILLED, "--probe", PROBE, "-o", small, "-q", "--no-latency"]) == 0
    assert run(["revive", KILLED, "--probe", PROBE, "-o", fresh, "-q"]) == 0
    assert run(["compare", KILLED, small, fresh, HEALTHY, "--probe", PROBE]) == 0
    out = squeezed(capsys.readouterr().out)
    assert re.search("small was made from digits_mlp_killed: 8,[0-9]{3} of 10,730 parameters went", out)
    assert "Fewer units: 1 from 64 to " in out
    assert "fresh was made from digits_mlp_killed, with as many parameters" in out
    assert "digits_mlp was made" not in out
    assert run(["compare", KILLED, small, "--probe", PROBE, "--json", "-"]) == 0
    (descent,) = json.loads(capsys.readouterr().out)["descents"]
    assert (descent["original"], descent["made"]) == (0, 1)
    assert [layer["units_then"] for layer in descent["narrowed"]] == [64, 64, 32]


def test_a_course_is_a_page_and_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    page = tmp_path / "course.html"
    assert run(["compare", HEALTHY, KILLED, HEALTHY, "--probe", PROBE, "--html", str(page), "-q"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "7 units died, 90 revived" not in text  # from the first to the last nothing changed
    assert "0 units died, 0 revived" in text
    assert 'id="run" min="0" max="2"' in text
    compared = analyzer.compare([HEALTHY, KILLED], PROBE, labels=["before", "after <b>"])
    compared.to_html(tmp_path / "other.html")
    assert "before → after &lt;b&gt;</p>" in (tmp_path / "other.html").read_text(encoding="utf-8")
    assert "90 units died, 7 revived, 10 stayed dead" in compared._repr_html_()
