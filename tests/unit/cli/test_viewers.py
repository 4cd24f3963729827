"""What is written for other viewers: colours for Model Explorer, notes in a copy of the model for Netron."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.cli.main import run
from tests.equivalence.agree import run as outputs

KILLED = Path("sample_models/digits_mlp_killed")
CNN = Path("sample_models/digits_cnn_torchscript")


def test_nodes_have_their_dead_share_for_model_explorer(tmp_path: Path) -> None:
    target = tmp_path / "nodes.json"
    assert (
        run(
            [
                "audit",
                str(KILLED / "model.onnx"),
                "--probe",
                str(KILLED / "probe.npz"),
                "--node-data",
                str(target),
                "-q",
            ]
        )
        == 0
    )
    data = json.loads(target.read_text(encoding="utf-8"))
    names = {node.name for node in onnx.load(KILLED / "model.onnx").graph.node}
    assert data["results"].keys() <= names
    assert data["results"]["/1/Relu"] == {"value": pytest.approx(51 / 64)}
    assert [stop["stop"] for stop in data["gradient"]] == [0.0, 1.0]


@pytest.mark.parametrize("folder", [KILLED, CNN])
def test_a_copy_says_at_its_nodes_what_was_found(folder: Path, tmp_path: Path) -> None:
    model, target = folder / "model.onnx", tmp_path / "noted.onnx"
    assert run(["audit", str(model), "--probe", str(folder / "probe.npz"), "--annotate", str(target), "-q"]) == 0
    audit = analyzer.audit(model, folder / "probe.npz", causes=False)
    noted = onnx.load(target)
    notes = {out: {e.key: e.value for e in node.metadata_props} for node in noted.graph.node for out in node.output}
    for layer in audit.layers:
        if layer.dead:
            assert notes[layer.value]["deadunits.dead"].startswith(f"{len(layer.dead)} of {layer.units}: ")
        stays = {entry.reason for entry in audit.locked if entry.value == layer.value}
        assert all(reason in notes[layer.value]["deadunits.stays"] for reason in stays)
    with np.load(folder / "probe.npz") as data:
        feeds = {name: data[name] for name in data}
    for before, after in zip(outputs(model, feeds), outputs(target, feeds), strict=True):
        np.testing.assert_array_equal(before, after)
    again = tmp_path / "again.onnx"
    analyzer.audit(target, folder / "probe.npz", causes=False).annotate(again)
    assert again.read_bytes() == target.read_bytes()


def test_weights_beside_the_model_come_along(tmp_path: Path) -> None:
    proto = onnx.load(KILLED / "model.onnx")
    (tmp_path / "a").mkdir()
    onnx.save(proto, tmp_path / "a" / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    probe = str(KILLED / "probe.npz")
    assert (
        run(["audit", str(tmp_path / "a" / "m.onnx"), "--probe", probe, "--annotate", str(tmp_path / "n.onnx"), "-q"])
        == 0
    )
    assert (tmp_path / "w.bin").read_bytes() == (tmp_path / "a" / "w.bin").read_bytes()
    onnx.checker.check_model(str(tmp_path / "n.onnx"))


def test_the_model_itself_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(KILLED / "model.onnx")
    assert run(["audit", model, "--annotate", model]) == 2
    assert "is an input" in capsys.readouterr().err
