"""`--domain` of audit, prune, check, explain, revive and compare: what it says, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest

import analyzer
from analyzer.cli.main import run
from tests.promised import satisfies
from tests.shipped import schema_of

KERAS = Path(__file__).parents[3] / "sample_models/digits_keras_cnn"
ON = [str(KERAS / "model.onnx"), "--probe", str(KERAS / "probe.npz"), "--budget", "5s"]
LAYER = "functional_1/relu2_1/Relu:0"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def test_an_audit_says_what_is_proven_and_what_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "audit.json"
    assert run(["audit", *ON, "--domain", "pixels", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "domain  pixels from 0 to 255 (image 0 to 1)" in out
    assert "units proven dead for every input of the domain" in out
    assert "dead on the probe only: inputs of the domain move them" in out
    assert "proven  refuted" in out
    document = json.loads(file.read_text())
    satisfies("audit", document)
    evidence = next(layer for layer in document["layers"] if layer["value"] == LAYER)["evidence"]
    assert len(evidence["proven"]) == 4 and evidence["observed"] == evidence["refuted"] == []  # by intervals
    totals = document["proof"]["totals"]["dead"]
    assert totals["proven"] >= 4 and totals["refuted"] >= 1
    assert sum(len(layer["evidence"]["refuted"]) for layer in document["layers"]) == totals["refuted"]


def test_prune_takes_what_is_proven_and_the_file_says_for_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "small.onnx", tmp_path / "prune.json"
    choice = ["--domain", "pixels", "--evidence", "proven", "--no-latency"]
    assert run(["prune", *ON, *choice, "-o", str(out), "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert (
        "The same outputs, up to rounding, for every input of the domain pixels from 0 to 255 (image 0 to 1)" in printed
    )
    document = json.loads(report.read_text())
    satisfies("prune", document)
    assert document["proven"] and not document["observed"]
    assert len(document["removed_units"][LAYER]) == 4
    assert document["comparison"]["domain"]["within"] and document["comparison"]["domain"]["samples"] >= 100
    assert run(["prove", str(out), *ON[1:3], "--domain", "model", "--budget", "0s"]) == 0
    assert "Domain: what the model's file says (image 0 to 1)" in capsys.readouterr().out
    assert onnx.load(out).metadata_props


def test_check_asks_for_a_share_and_a_settings_file_may_state_the_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "deadunits.toml"
    settings.write_text('domain = "pixels"\nmin-proven = "50%"\nignore = ["DU014"]\n')
    assert run(["check", *ON, "--config", str(settings)]) == 1
    out = capsys.readouterr().out
    assert "DU040 little-proven" in out and "DU039 dead-on-probe-only" in out
    assert "dead over the domain pixels from 0 to 255 (image 0 to 1): " in " ".join(out.split())
    assert run(["check", *ON, "--config", str(settings), "--min-proven", "5%"]) == 0
    capsys.readouterr()
    (tmp_path / "box.json").write_text('{"image": [0, 1]}')
    settings.write_text('domain = "box.json"\n')
    assert run(["check", *ON, "--config", str(settings), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    satisfies("check", document)
    assert document["domain"]["source"] == "box.json" and document["budgets"] == {}


def test_explain_says_what_became_of_a_unit_and_writes_the_witnesses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = ["--unit", "functional_1/conv1_1/Relu:0:2", "--domain", "pixels", "--witnesses", str(tmp_path / "found")]
    assert run(["explain", *ON, *unit]) == 0
    out = capsys.readouterr().out
    assert "Over it: dead on the probe only; " in out and "shows otherwise: the witness at index" in out
    assert "Bounds over it: between 0 and " in out
    assert f"Written  {tmp_path}/found/witnesses.npz" in out
    index = int(out.split("the witness at index ")[1].split()[0])
    (images,) = np.load(tmp_path / "found/witnesses.npz").values()
    np.savez(tmp_path / "one.npz", image=images[index : index + 1])
    again = analyzer.audit(ON[0], tmp_path / "one.npz").layers
    assert 2 not in next(layer for layer in again if layer.value == "functional_1/conv1_1/Relu:0").dead


def test_revive_leaves_what_inputs_move_and_says_what_is_proven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "fresh.onnx", tmp_path / "revive.json"
    given = ["--domain", "pixels", "--evidence", "proven", "-o", str(out), "--json", str(report)]
    assert run(["revive", *ON, *given]) == 0
    printed = capsys.readouterr().out
    assert "The same outputs, up to rounding, for every input of the domain" in printed
    assert "units left, as inputs of the domain move them" in printed and "proven  refuted" in printed
    document = json.loads(report.read_text())
    jsonschema.validate(document, schema_of("revive"))
    assert document["proven"] and len(document["units"][LAYER]) == 4 and document["domain"]["within"]
    refuted = {value: set(shown["refuted"]) for value, shown in document["evidence"].items()}
    assert all(units <= set(document["left"].get(value, ())) for value, units in refuted.items())
    assert any(refuted.values())


def test_pixels_are_prepared_without_a_probe_as_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--domain", "pixels", "--mean", "0.5", "--std", "0.25", "--budget", "0s"]
    assert run(["prove", ON[0], *given]) == 0
    assert "prepared as the probe's images are (image -2 to 2)" in capsys.readouterr().out
    with pytest.raises(analyzer.InputError, match="images says how a probe is read"):
        analyzer.audit(ON[0], analyzer.Data(images=analyzer.ImageOptions()))


def test_no_domain_is_every_input_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prove", *ON]) == 0
    out = capsys.readouterr().out
    assert "Domain: every input\n" in out
    assert "no inputs were searched" in " ".join(out.split())


@pytest.mark.parametrize("command", ["audit", "prove"])
def test_statistics_are_not_held_against_a_domain(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their data may leave the domain, and bounds over it, where the probe that stands for it does not."""
    dark, statistics = tmp_path / "dark.npz", tmp_path / "p.stats"
    np.savez(dark, **{name: array[:20] / 8 for name, array in np.load(KERAS / "probe.npz").items()})
    assert run(["observe", *ON[:3], "-o", str(statistics), "-q"]) == 0
    given = ["--probe", str(dark), "--statistics", str(statistics), "--domain", "0:0.125", "--budget", "0s"]
    capsys.readouterr()
    assert run([command, ON[0], *given]) == 2
    assert "Statistics do not say whether their data lies in a domain" in " ".join(capsys.readouterr().err.split())
