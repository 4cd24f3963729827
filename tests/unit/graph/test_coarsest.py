"""The coarsest element type on the way decides how far two calculations of a value may differ."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.graph.coarsest import coarsest_types
from analyzer.shapes.sample_rows import show_both
from tests.models import context, parse

TEXT = """g (float[n, 4] x, float16[n, 4] h) => (float[n, 4] y, float[n, 4] z, int64[n, 4] i) {
    a = Relu(x) b = Cast<to = 10>(a) c = Cast<to = 1>(b) y = Tanh(c) z = Cast<to = 1>(h) i = Cast<to = 7>(y)
}"""


def test_it_is_carried_on_and_begins_behind_the_inputs() -> None:
    made = context(parse(TEXT), {"x": np.ones((1, 4), np.float32), "h": np.ones((1, 4), np.float16)})
    dtypes = {name: made.dtype(name) or "" for name in made.graph.producer}
    found = coarsest_types(made.graph, dtypes)
    assert found == {"a": "float32", "b": "float16", "c": "float16", "y": "float16", "z": "float32", "i": "float16"}
    behind = coarsest_types(made.graph, dtypes, lambda node: node.outputs == ("c",))
    assert behind == {"c": "float32", "y": "float32", "i": "float32"}
    assert [made.coarsest(name) for name in ("a", "y", "z", "i")] == ["float32", "float16", "float32", "int64"]


@pytest.mark.parametrize(("coarsest", "shown"), [({}, False), ({"y": "float16"}, True), ({"y": "float64"}, False)])
def test_two_samples_in_a_feed_may_differ_by_the_rounding_on_the_way(coarsest: dict[str, str], shown: bool) -> None:
    one, two = np.ones((1, 3), np.float32), np.full((1, 3), 2, np.float32)
    both = np.concatenate([one, two]) * np.float32(1.004)
    assert show_both({"y": both}, {"y": one}, {"y": two}, coarsest) is shown
