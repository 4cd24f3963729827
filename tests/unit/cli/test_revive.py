"""`deadunits revive`: what it writes and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analyzer.cli.main import run

KILLED = Path("sample_models/digits_mlp_killed")
CALL = ["revive", str(KILLED / "model.onnx"), "--probe", str(KILLED / "probe.npz")]


def test_model_state_and_masks_are_written_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, state, masks = (tmp_path / name for name in ("out.onnx", "state.npz", "masks.npz"))
    assert run([*CALL, "-o", str(model), "--state", str(state), "--masks", str(masks)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("100 of 100 dead units can learn again")
    assert all(path.name in out for path in (model, state, masks))
    assert err == ""
    with np.load(state) as stored, np.load(masks) as kept:
        assert set(stored) == set(kept)
        for name in stored:
            assert stored[name].shape == kept[name].shape
            assert not kept[name].all()


def test_json_satisfies_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CALL, "--state", str(tmp_path / "s.npz"), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "deadunits.revive/1"
    assert {value: len(units) for value, units in document["units"].items()} == {
        "/1/Relu_output_0": 51,
        "/3/Relu_output_0": 34,
        "/5/Relu_output_0": 15,
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say where the revived weights go"),
        (["-o", str(KILLED / "model.onnx")], "is an input of this audit"),
        (["-o", "same.npz", "--state", "same.npz"], "Two outputs have the same name"),
        (["--state", "s.npz", "--only", "layer9*"], "No layer matches 'layer9*'"),
        (["--state", "s.npz", "--experts"], "No such option: --experts"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CALL, *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_model_without_dead_units_is_written_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaky, target = Path("sample_models/digits_mlp_leaky"), tmp_path / "out.onnx"
    call = ["revive", str(leaky / "model.onnx"), "--probe", str(leaky / "probe.npz"), "-o", str(target)]
    assert run(call) == 0
    assert "Nothing to revive: no unit is dead." in capsys.readouterr().out
    assert target.read_bytes() == (leaky / "model.onnx").read_bytes()
