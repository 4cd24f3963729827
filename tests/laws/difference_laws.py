"""What is said of how far outputs move is no less than how far they do, as onnxruntime computes them."""

from __future__ import annotations

from random import Random

import numpy as np

from analyzer.bounds import interval_bounds
from analyzer.bounds.differences import DifferenceGraph
from analyzer.facts.domain import Box
from analyzer.runtime.loading import load_model
from tests.laws.benches import Bench, Case

POINTS = 60
ROUNDING = 1e-5  # share of what comes out that both runs may be off by


def differences_hold(case: Case, random: Random) -> None:
    """Where one input moves by no more than it is said to, no output moves further than its bound."""
    differences_held(case, random)


def differences_held(case: Case, random: Random) -> int:
    """How many differences were compared."""
    names = [n for n, a in case.feeds.items() if a.dtype == np.float32 and a.size]
    bench, generator = Bench(case), np.random.default_rng(random.getrandbits(32))
    if not names:
        return 0
    name, loaded, table = random.choice(names), load_model(case.model()), bench.context.table
    centre, size = {n: np.asarray(a) for n, a in case.feeds.items()}, random.choice([1e-3, 0.1, 1.0, 10.0])
    part = generator.random(centre[name].shape) < random.choice([0.2, 1.0])
    far = np.asarray(np.where(part, size, 0) * generator.random(part.shape), np.float32)
    boxes = {n: Box(a, a) for n, a in centre.items()} | {name: Box(centre[name] - far, centre[name] + far)}
    bounds, compared = interval_bounds(loaded, table, boxes, threads=1), 0
    with DifferenceGraph(loaded, table, name, bounds, threads=1) as graph:
        moved = graph.moved(boxes[name].high.astype(np.float64) - boxes[name].low) if graph.whole else {}
    for _ in range(POINTS if moved else 0):
        one, other = (
            bench.run(centre | {name: np.asarray(np.where(up, boxes[name].high, boxes[name].low), np.float32)})
            for up in (generator.random(part.shape) < generator.random() for _ in range(2))
        )
        for output, most in moved.items():
            change = np.abs(one[output].astype(np.float64) - other[output])
            change = change[np.isfinite(change)]
            rounding = ROUNDING * max(np.abs(np.nan_to_num(one[output])).max(initial=0), 1.0)
            assert change.max(initial=0) <= most + rounding, f"{output} moves by {change.max()}, not {most}: {case}"
            compared += change.size
    return compared
