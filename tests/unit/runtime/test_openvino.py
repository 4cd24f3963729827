"""With a real provider, where one is installed: `pip install onnxruntime-ep-openvino` brings one for the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from tests.models import parse

pytest.importorskip("onnxruntime_ep_openvino")
ON_IT = analyzer.Run(provider="openvino")
MODEL, PROBE = "sample_models/digits_mlp_killed/model.onnx", "sample_models/digits_mlp_killed/probe.npz"


def test_its_units_are_the_same_and_it_is_named() -> None:
    here, there = (analyzer.audit(MODEL, PROBE, run=run) for run in (None, ON_IT))
    assert [layer.dead for layer in there.layers] == [layer.dead for layer in here.layers]
    assert here.facts.probe is not None and here.facts.probe.provider is None
    assert there.facts.probe is not None and there.facts.probe.provider is not None
    assert there.facts.probe.provider.name == "OpenVINOExecutionProvider"
    assert there.facts.probe.provider.operators == there.facts.probe.provider.operators_in_all == 7


def test_a_nan_that_its_kernels_lose_is_seen() -> None:
    """A Relu of this provider makes 0 of NaN, where the CPU's lets it through."""
    model = parse(
        """g (float[n,1,4,4] x) => (float[n,2,4,4] y) {
        a = Conv (x, w)
        b = Tanh (a)
        y = Relu (b)
        }""",
        {"w": np.array([1, -1], np.float32).reshape(2, 1, 1, 1)},
    )
    data = np.random.default_rng(0).normal(size=(12, 1, 4, 4)).astype(np.float32)
    data[7, 0, 1, 1] = np.nan
    first = analyzer.audit(model, data, run=ON_IT).layers[0]
    assert first.nonfinite == (0, 1) and first.dead == ()


def test_a_smaller_model_is_still_compared() -> None:
    pruned = analyzer.prune(MODEL, PROBE, run=ON_IT, latency=False)
    assert pruned.comparison is not None and pruned.facts.after.parameters < pruned.facts.before.parameters
