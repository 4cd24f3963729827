"""Bounds of every value of random graphs, against all that onnxruntime computes: node by node, and as it fuses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import settings

from analyzer.bounds import interval_bounds
from analyzer.bounds.linear_bounds import Asked, LinearBounds
from analyzer.facts.domain import Box
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.runtime.loading import load_model
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session
from analyzer.shapes.shape_run import measure_shapes
from tests.models import Array
from tests.random_graphs.generator import Made, make
from tests.random_graphs.quantised import make_few_bits
from tests.random_graphs.recurrent import make_recurrent

Bounding = Callable[[LoadedModel, ShapeTable, Mapping[str, Box]], Mapping[str, Box]]
GRAPHS = settings().max_examples // 5
POINTS = 12


def _linear(loaded: LoadedModel, shapes: ShapeTable, boxes: Mapping[str, Box]) -> Mapping[str, Box]:
    """Linear bounds of all numbers of all values."""
    asked = {name: Asked(*[np.ones(shape, np.bool_)] * 2) for name, shape in shapes.shapes.items()}
    with LinearBounds(loaded, shapes, boxes, asked, threads=1) as linear:
        return linear.bounds(boxes, asked)


def _intervals(loaded: LoadedModel, shapes: ShapeTable, boxes: Mapping[str, Box]) -> Mapping[str, Box]:
    return interval_bounds(loaded, shapes, boxes, threads=1)


@pytest.mark.parametrize("bound", [_intervals, _linear])
@pytest.mark.parametrize("maker", [make, make_recurrent, make_few_bits])
def test_all_values_lie_between_their_bounds(maker: Callable[[int], Made], bound: Bounding) -> None:
    bounded = 0
    for seed in range(GRAPHS):
        try:
            bounded += _hold(maker(seed), np.random.default_rng(seed), bound)
        except Exception as error:
            error.add_note(f"the graph is made by {maker.__module__}.{maker.__name__}({seed})")
            raise
    assert bounded > GRAPHS


def test_linear_bounds_are_narrower_in_many_graphs() -> None:
    narrower = 0
    for seed in range(GRAPHS):
        made, random = make(seed), np.random.default_rng(seed)
        loaded = load_model(made.model)
        shapes = measure_shapes(loaded, None, threads=1)
        boxes = {name: _box(array, random) for name, array in made.probe.items() if array.dtype.kind == "f"}
        plain, linear = _intervals(loaded, shapes, boxes), _linear(loaded, shapes, boxes)
        narrower += any(
            (linear[name].high < 0.98 * box.high - 1e-3).any() for name, box in plain.items() if name in linear
        )
    assert narrower > GRAPHS // 10


def _hold(made: Made, random: np.random.Generator, bound: Bounding) -> int:
    """How many values have bounds."""
    loaded = load_model(made.model)
    shapes = measure_shapes(loaded, None, threads=1)
    boxes = {name: _box(array, random) for name, array in made.probe.items() if array.dtype.kind == "f"}
    bounds = bound(loaded, shapes, boxes)
    editor = Editor(loaded.copy())
    names = [name for name in bounds if name in loaded.graph.producer]
    editor.output(*names)
    fused = [name for name in loaded.graph.outputs if name in bounds]
    with Session(editor.loaded, threads=1, optimization=Optimization.NONE) as plain, Session(loaded, threads=1) as fast:
        for _ in range(POINTS):
            feed = {name: array[:1] for name, array in made.fresh.items()}
            feed |= {name: _point(box, random) for name, box in boxes.items()}
            for seen in (plain.run(feed, names), fast.run(feed, fused)):
                for name, array in seen.items():
                    low, high = bounds[name].low, bounds[name].high
                    assert ((low <= array) & (array <= high)).all(), f"{name} leaves its bounds"
    return len(names)


def _box(array: Array, random: np.random.Generator) -> Box:
    middle = array[:1].astype(np.float64)
    width = random.choice([0.0, 1e-3, 0.3, 3.0]) * random.random(middle.shape)
    low, high = (np.asarray(end, np.float32) for end in (middle - width, middle + width))
    return Box(low, high)


def _point(box: Box, random: np.random.Generator) -> Array:
    share = random.random(box.low.shape) if random.random() < 0.5 else random.integers(0, 2, box.low.shape)
    return np.asarray(np.clip(box.low + np.asarray(share, np.float32) * (box.high - box.low), box.low, box.high))
