"""Every sample model, pruned: the same answers on its probe, fewer or as many parameters, and done after once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import analyzer
from tests.equivalence.agree import LEVELS, promise_is_kept, run, same

MODELS = sorted(path.parent for path in Path("sample_models").glob("*/model.onnx"))
#: Parameters that stay at most, where something goes on the probe.
KEPT = {
    "digits_mlp_killed": 1972,
    "digits_cnn_dynamo": 20743,
    "digits_gru_streaming": 5934,
    "digits_transformer": 21407,
    "digits_transformer_fused": 14566,
}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_sample_model_is_the_same_on_its_probe(folder: Path, tmp_path: Path) -> None:
    model, probe, holdout = folder / "model.onnx", folder / "probe.npz", folder / "holdout.npz"
    before = model.read_bytes()
    found = analyzer.prune(model, analyzer.Data(probe, holdout), latency=False)
    target = tmp_path / "small.onnx"
    found.save(target)
    assert model.read_bytes() == before
    promise_is_kept(found)
    if not found.changed:
        assert target.read_bytes() == before
        return
    with np.load(probe) as data:
        feeds = {name: data[name] for name in data}
    expected = run(model, feeds)
    for level in LEVELS:
        same(expected, run(target, feeds, level), 5e-5)
    onnx.checker.check_model(str(target), full_check=True)
    assert found.facts.after.parameters <= KEPT.get(folder.name, found.facts.before.parameters)
    assert found.facts.holdout is not None
    if not found.facts.holdout.within:  # then the report can say which units woke up
        removed = found.facts.removed_units
        assert any(set(layer.revived or ()) & set(removed.get(layer.value, ())) for layer in found.audit.layers)
    assert not analyzer.prune(target, probe, latency=False).changed


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_by_the_weights_alone_it_is_the_same_on_any_data(folder: Path) -> None:
    found = analyzer.prune(folder / "model.onnx", latency=False)
    if not found.changed:
        assert found.data == (folder / "model.onnx").read_bytes()
        return
    with np.load(folder / "holdout.npz") as data:
        feeds = {name: data[name] for name in data}
    same(run(folder / "model.onnx", feeds), run(onnx.ModelProto.FromString(found.data), feeds))
