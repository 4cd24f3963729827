"""The table of dead units by layer: a row per activation, in order; names from files stay within their cells."""

from __future__ import annotations

from pathlib import Path

import pytest

import analyzer
from analyzer.cli.main import run
from analyzer.report.audit.table import to_text
from tests import made
from tests.gated import HOSTILE

KILLED = Path("sample_models/digits_mlp_killed")


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("|")]


def test_activations_are_listed_in_order_with_a_row_for_all() -> None:
    first, linear = made.first_dead(64, 16, "a"), made.layer(made.linear(8), made.seen([0] * 8, [1] * 8))
    rare = made.layer(made.relu(200, "b"), made.seen([0] * 200, [0, *[1] * 199], 1000, high_samples=[0, *[5] * 199]))
    rows = _rows(to_text(made.reported(made.facts([first, linear, rare]))))
    names = [row[1] for row in rows[2:]]
    assert names == ["`a`", "`b`", "all"]
    assert rows[2][3:6] == ["64", "16", "25 %"]
    assert rows[3][3:5] == ["200", "1"]
    assert rows[4][3:6] == ["264", "17", "6.44 %"]


def test_modules_go_before_names_of_tensors() -> None:
    named = made.of_module(made.first_dead(8, 2, "/model/act"), "model.layers.0.mlp")
    assert _rows(to_text(made.reported(made.facts([named]))))[2][1] == "`model.layers.0.mlp`"


def test_names_from_files_stay_within_their_cell() -> None:
    lines = to_text(
        made.reported(made.facts([made.first_dead(8, 2, HOSTILE), made.first_dead(8, 0, "b")]))
    ).splitlines()
    assert len(lines) == 7
    assert len({len(line) for line in lines[:5]}) == 1


def test_what_has_no_activations_has_no_table() -> None:
    alone = made.layer(made.linear(8), made.seen([0] * 8, [1] * 8))
    assert to_text(made.reported(made.facts([alone]))).startswith("No activation was audited")


def test_it_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, probe, target = str(KILLED / "model.onnx"), str(KILLED / "probe.npz"), tmp_path / "table.md"
    assert run(["audit", model, "--probe", probe, "--format", "table", "--report", f"table={target}"]) == 0
    printed = capsys.readouterr().out
    assert printed == target.read_text(encoding="utf-8")
    assert "|   51 | 79.7 % |" in printed
    assert printed.endswith("Seen on 300 samples.\n")
    assert analyzer.audit(model, probe).report("table") == printed
