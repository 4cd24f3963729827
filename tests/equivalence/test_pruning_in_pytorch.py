"""The code in docs/pruning_in_pytorch.md makes the same cut in the module that a model was exported from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import analyzer
from tests.equivalence.agree import run

DOC = (Path(__file__).parents[2] / "docs" / "pruning_in_pytorch.md").read_text(encoding="utf-8")
MODEL = Path("sample_models/digits_mlp_killed/model.onnx")
PROBE = MODEL.with_name("probe.npz")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)


def test_the_example_is_python() -> None:
    for block in blocks():
        compile(block, "docs/pruning_in_pytorch.md", "exec")


@pytest.mark.parametrize("copied", [False, True], ids=["masks", "masks-and-values"])
def test_the_cut_module_computes_what_the_cut_model_does(
    copied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    linears = [(64, 64), (64, 64), (64, 32), (32, 10)]
    layers: list[Any] = []
    for fan_in, fan_out in linears:
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers[:-1])
    original = {i.name: numpy_helper.to_array(i).copy() for i in onnx.load(str(MODEL)).graph.initializer}
    module.load_state_dict({name: torch.from_numpy(original[name]) for name in module.state_dict()})
    pruned = analyzer.prune(MODEL, PROBE, latency=False)
    pruned.save_masks(tmp_path / "masks.npz")
    pruned.save(tmp_path / "small.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"module": module}
    for block in blocks() if copied else blocks()[:2]:
        exec(block, names)  # noqa: S102 - it is our own documentation that is tried
    with np.load(Path(__file__).parents[2] / PROBE) as data:
        pixels = data["pixels"]
    with torch.no_grad():
        ours = names["small"](torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(ours, run(tmp_path / "small.onnx", {"pixels": pixels})[0], rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in names["small"].parameters()) == pruned.facts.after.parameters
