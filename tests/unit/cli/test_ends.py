"""How commands end when the call, the data or the streams are unusual: with the right code and one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.cli.main import run

FOLDER = Path("sample_models/digits_mlp_killed")
MODEL, PROBE = str(FOLDER / "model.onnx"), str(FOLDER / "probe.npz")


@pytest.mark.parametrize("command", ["audit", "check"])
def test_a_probe_file_that_exits_does_not_pass_the_gate(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text("import sys\ndef feeds():\n    sys.exit(0)\n", encoding="utf-8")
    assert run([command, MODEL, "--probe", f"{probe}:feeds"]) == 2
    assert "probe.py:feeds ended with sys.exit" in capsys.readouterr().err
