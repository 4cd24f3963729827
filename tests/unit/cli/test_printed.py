"""Whatever names a file holds, nothing that is printed steers a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from analyzer.cli.main import run
from analyzer.report.formats import RENDERERS

# ESC, BEL, a line's end; DEL; C1's CSI and NEL; marks that turn, isolate or join; line separator; a tag character
STEERING = "\x1b[2J\a\r\n\x7f\x9b31m\x85\u202e\u2066\u200b\u200f\u061c\u2028\ufeff\U000e0041"


def save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two layers, half of whose units are dead, with such names everywhere."""
    weight = np.ones((4, 4), np.float32) * [1, 1, -1, -1]
    named = {name: f"{name}{STEERING}" for name in ("x", "hidden", "relu", "y", "w1", "w2", "graph", "node", "out")}
    nodes = [
        helper.make_node("MatMul", [named["x"], named["w1"]], [named["hidden"]], named["node"]),
        helper.make_node("Relu", [named["hidden"]], [named["relu"]], f"/blk{STEERING}/relu"),
        helper.make_node("MatMul", [named["relu"], named["w2"]], [named["out"]], f"last{STEERING}"),
        helper.make_node("Odd" + STEERING, [named["out"]], [named["y"]], domain="odd" + STEERING),
    ]
    values = [
        helper.make_tensor_value_info(named[name], onnx.TensorProto.FLOAT, ["n" + STEERING, 4]) for name in ("x", "out")
    ]
    stored = [numpy_helper.from_array(weight.astype(np.float32), named[name]) for name in ("w1", "w2")]
    graph = helper.make_graph(nodes[:3], named["graph"], values[:1], values[1:], stored)
    proto = helper.make_model(graph, producer_name="by" + STEERING, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / f"model{STEERING}.onnx"
    onnx.save(proto, path)
    save(tmp_path / "probe.npz", {named["x"]: np.ones((8, 4), np.float32)})
    graph.node.append(nodes[3])
    graph.output[0].name = named["y"]
    onnx.save(helper.make_model(graph, opset_imports=proto.opset_import), tmp_path / "unknown.onnx")
    return path


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, once it is sure that a terminal obeys none of it."""
    assert run(arguments) in (0, 1, 2)
    both = "".join(capsys.readouterr())
    steering = {c for c in both.replace("\n", "") if not c.isprintable()}
    assert not steering, (arguments, sorted(map(ascii, steering)))
    return both


@pytest.mark.parametrize(
    "command",
    [
        *(["audit", "MODEL", "--format", name] for name in RENDERERS["audit"] if name != "html"),
        *(["check", "MODEL", "--format", name] for name in RENDERERS["check"] if name != "html"),
        *(["prune", "MODEL", "--dry-run", "--format", name] for name in RENDERERS["prune"] if name != "html"),
        *(["compare", "MODEL", "MODEL", "--format", name] for name in RENDERERS["compare"]),
    ],
    ids=" ".join,
)
def test_no_report_steers_the_terminal(command: list[str], model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(model) if word == "MODEL" else word for word in command]
    text = printed([*words, "--probe", str(model.parent / "probe.npz")], capsys)
    assert "blk" in text or "hidden" in text or "relu" in text


def test_no_error_steers_the_terminal(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = f"{model}-gone"
    wrong = model.parent / f"wrong{STEERING}.npz"
    save(wrong, {f"z{STEERING}": np.ones(3, np.float32)})
    for arguments in (
        ["audit", gone],
        ["audit", str(model), "--probe", gone],
        ["audit", str(model), "--probe", str(wrong)],
        ["audit", str(model), "--json", f"{gone}/a.json"],
        ["audit", str(model), "--random", "2", "--dim", f"{STEERING}=2"],
        ["check", str(model), "--max-dead", STEERING],
        ["check", str(model), "--config", gone],
        ["explain", STEERING],
        ["audit", str(model.parent / "unknown.onnx"), "--random", "2"],
        ["audit", str(model.parent / "unknown.onnx")],
    ):
        printed(arguments, capsys)
