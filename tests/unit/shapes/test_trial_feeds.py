"""Without data both models run on drawn feeds: on single samples, on two at once, and on other lengths."""

from __future__ import annotations

import numpy as np

from analyzer.shapes.shape_run import measure_shapes
from analyzer.shapes.trial_feeds import drawn_feeds
from tests.unit.observe.test_observation import load


def test_two_samples_in_one_feed_and_other_lengths_are_drawn_too() -> None:
    loaded = load("g (float[N, T, 3] x) => (float[N, T, 3] y) { y = Relu(x) }")
    drawn = [
        (feeds["x"].shape, samples) for feeds, samples in drawn_feeds(loaded.graph.inputs, measure_shapes(loaded, None))
    ]
    assert drawn == [((1, 32, 3), 1)] * 4 + [((2, 32, 3), 2), ((1, 64, 3), 1)]


def test_a_fixed_batch_is_kept() -> None:
    loaded = load("g (float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    drawn = list(drawn_feeds(loaded.graph.inputs, measure_shapes(loaded, None)))
    assert {feeds["x"].shape for feeds, _ in drawn} == {(1, 3)}
    assert any((feeds["x"] < 0).any() for feeds, _ in drawn)
    assert all(feeds["x"].dtype == np.float32 for feeds, _ in drawn)
