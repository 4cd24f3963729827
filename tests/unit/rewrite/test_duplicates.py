"""What is said of units that compute the same, and of inputs for which a prune without data holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice
from analyzer.cli.main import run as command
from tests.models import Array, parse


def model(outputs: str, w2: Array | None = None, twins: tuple[int, ...] = (5,)) -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    stored: dict[str, Array] = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {"w1": (4, 8), "b1": (8,), "w2": (8, 2)}.items()
    }
    for twin in twins:
        stored["w1"][:, twin], stored["b1"][twin] = stored["w1"][:, 1], stored["b1"][1]
    if w2 is not None:
        stored["w2"] = w2
    return parse(f"g (float[n,4] x) => ({outputs}) {{ h = Gemm(x, w1, b1) a = Relu(h) y = Gemm(a, w2) }}", stored)


@pytest.mark.parametrize(("twins", "told"), [((5,), "1 unit computes"), ((5, 7), "2 units compute")])
def test_merged_twins_are_told(twins: tuple[int, ...], told: str) -> None:
    found = analyzer.prune(model("float[n,2] y", twins=twins), choice=Choice(merge_duplicates=True), latency=False)
    assert told in found.facts.notes[0]


def test_twins_that_cannot_go_are_not_said_to_be_merged() -> None:
    found = analyzer.prune(model("float[n,2] y, float[n,8] a"), choice=Choice(merge_duplicates=True), latency=False)
    assert not found.changed
    assert not found.facts.notes


@pytest.mark.parametrize("merge", [False, True])
def test_without_data_it_holds_for_every_input(merge: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unread = np.ones((8, 2), np.float32)
    unread[[0, 3]] = 0  # nothing needs these units, though they are alive
    onnx.save(model("float[n,2] y", None if merge else unread, (5,) if merge else ()), str(tmp_path / "m.onnx"))
    more = ["--merge-duplicates"] if merge else []
    assert command(["prune", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "o.onnx"), "--no-latency", *more]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "The same outputs, up to rounding, for every input" in out


def test_twins_in_front_of_a_grouped_convolution_stay() -> None:
    rng = np.random.default_rng(4)
    shapes = {"w": (4, 3, 1, 1), "k": (4, 2, 3, 3), "v": (2, 4, 1, 1)}
    stored = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    stored["w"][2] = stored["w"][0]
    body = "c = Conv(x, w) h = Relu(c) g = Conv<group=2>(h, k) r = Relu(g) y = Conv(r, v)"
    proto = parse(f"g (float[n,3,5,5] x) => (float[n,2,3,3] y) {{ {body} }}", stored)
    assert not analyzer.prune(proto, choice=Choice(merge_duplicates=True), latency=False).changed
