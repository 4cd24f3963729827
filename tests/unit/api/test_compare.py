"""Comparing models and data sets: the sample twins, data sets, labels, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.errors import InputError, OutputError
from analyzer.facts.history import course_of
from analyzer.facts.judged import Judged, LeftOut, OperatorCount
from analyzer.report.compare.json import to_text as to_json
from analyzer.report.compare.terminal import to_text
from tests.made import facts
from tests.promised import satisfies

SAMPLES = Path("sample_models")
HEALTHY, KILLED = SAMPLES / "digits_mlp", SAMPLES / "digits_mlp_killed"
PROBE = HEALTHY / "probe.npz"


def dead_by_hand(folder: Path) -> dict[str, set[int]]:
    manifest = json.loads((SAMPLES / "manifest.json").read_text(encoding="utf-8"))
    found = next(entry for entry in manifest["models"] if entry["name"] == folder.name)
    return {entry["value"]: set(entry["dead"]) for entry in found["dead_units"]}


def test_the_killed_twin_lost_what_the_manifests_say() -> None:
    found = analyzer.compare([HEALTHY / "model.onnx", KILLED / "model.onnx"], PROBE)
    assert [run.label for run in found.runs] == ["digits_mlp", "digits_mlp_killed"]
    before, after = dead_by_hand(HEALTHY), dead_by_hand(KILLED)
    for layer in found.layers:
        if layer.value in before:
            change = layer.change()
            assert change is not None
            assert set(change.died) == after[layer.value] - before[layer.value]
            assert set(change.revived) == before[layer.value] - after[layer.value]


def test_two_exports_of_one_network_agree() -> None:
    folders = [SAMPLES / "digits_cnn_torchscript", SAMPLES / "digits_cnn_dynamo"]
    found = analyzer.compare([folder / "model.onnx" for folder in folders], folders[0] / "probe.npz")
    died, revived, stayed = found.facts.total()
    assert (died, revived) == (0, 0)
    assert stayed >= 75
    assert not found.facts.unmatched


def test_another_data_set_revives_what_the_holdout_revives() -> None:
    model, holdout = KILLED / "model.onnx", KILLED / "holdout.npz"
    found = analyzer.compare(model, probes=[PROBE, holdout])
    assert [run.label for run in found.runs] == ["probe.npz", "holdout.npz"]
    revived = {layer.value: change.revived for layer in found.layers if (change := layer.change()) and change.revived}
    audit = analyzer.audit(model, analyzer.Data(PROBE, holdout))
    assert revived == {layer.value: layer.revived for layer in audit.layers if layer.revived}


def test_the_report_satisfies_its_schema(tmp_path: Path) -> None:
    models = [folder / "model.onnx" for folder in (HEALTHY, KILLED, HEALTHY)]
    found = analyzer.compare(models, analyzer.Data(PROBE, limit=60))
    found.to_json(tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    satisfies("compare", document)
    assert document == found.to_dict()
    assert len(document["steps"]) == 2
    assert document["totals"]["died"] == 0


def test_each_run_says_how_much_was_judged() -> None:
    judged = Judged(100, 4, 10, 1, 3, 1, left_out=(LeftOut("in blocks", (OperatorCount("Conv", 11),), 96, 9, 2),))
    course = course_of([facts(), facts(judged=judged)], ["old", "new"])
    first, second = json.loads(to_json(course))["runs"]
    assert first["judged"]["multiply_adds_share"] == 1
    assert (second["judged"]["multiply_adds_share"], second["judged"]["activations_judged"]) == (0.04, 1)
    assert second["judged"]["left_out"][0]["reason"] == "in blocks"
    text = to_text(course)
    assert "run 2 judged: 4 % of multiply-adds, 10 % of parameters, 1 of 3 activations" in text
    assert "run 1 judged" not in text


def test_a_comparison_never_replaces_its_own_inputs() -> None:
    found = analyzer.compare([HEALTHY / "model.onnx", KILLED / "model.onnx"])
    with pytest.raises(OutputError):
        found.to_json(HEALTHY / "model.onnx")


def test_arrays_and_models_in_memory_are_numbered() -> None:
    data = np.load(PROBE)
    models = [(folder / "model.onnx").read_bytes() for folder in (HEALTHY, KILLED)]
    found = analyzer.compare(models, analyzer.Data(dict(data), limit=20))
    assert [run.label for run in found.runs] == ["1", "2"]
    assert "2 runs" in repr(found)


@pytest.mark.parametrize(
    ("models", "options"),
    [
        ([HEALTHY / "model.onnx"], {"data": PROBE}),
        ([HEALTHY / "model.onnx"], {"probes": [PROBE]}),
        ([HEALTHY / "model.onnx"] * 2, {"probes": [PROBE, PROBE]}),
        ([HEALTHY / "model.onnx"] * 2, {"data": PROBE, "labels": ["one"]}),
    ],
)
def test_what_cannot_be_compared_is_refused(models: list[Path], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        analyzer.compare(models, **options)
