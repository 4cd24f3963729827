"""Normalisations make much of last digits: the constants that the run showed go into the smaller model."""

from __future__ import annotations

import numpy as np
import onnx

import analyzer
from tests.models import parse, run
from tests.random_graphs.generator import make
from tests.random_graphs.law import outputs


def test_a_normalised_constant_is_taken_as_it_was_seen() -> None:
    made = make(1795645288)  # two instance normalisations, the first over constant maps
    small = onnx.ModelProto.FromString(analyzer.audit(made.model, made.probe).prune(latency=False).data)
    for before, after in zip(outputs(made.model, made.probe), outputs(small, made.probe), strict=True):
        assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


def test_what_was_seen_is_the_constant_that_the_consumer_gets() -> None:
    stored = {
        "k": np.zeros((2, 3, 1, 1), np.float32), "b": np.array([0.45624596, 0.3], np.float32),
        "s": np.array([1.46, 1], np.float32), "i": np.array([1.2249184, 1], np.float32),
        "v": np.array([[[[1]], [[0.5]]]], np.float32),
    }  # fmt: skip
    body = "c = Conv(x, k, b) h = Relu(c) n = InstanceNormalization(h, s, i) y = Conv(n, v)"
    model = parse(f"g (float[N, 3, 5, 6] x) => (float[N, 1, 5, 6] y) {{ {body} }}", stored)
    x = np.random.default_rng(0).normal(0, 1, (60, 3, 5, 6)).astype(np.float32)
    (before,) = run(model, {"x": x[:1]}).values()
    (after,) = run(
        onnx.ModelProto.FromString(analyzer.audit(model, x).prune(latency=False).data), {"x": x[:1]}
    ).values()
    assert np.abs(before - after).max() <= 2e-7 * np.abs(before).max()
