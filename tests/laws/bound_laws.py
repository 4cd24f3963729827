"""What is said to lie between two numbers does, as onnxruntime computes it: at corners, inside, and to the last bit."""

from __future__ import annotations

from random import Random

import numpy as np

from analyzer.bounds import interval_bounds
from analyzer.facts.domain import Box
from analyzer.ops.operator import Operator, rule_for
from analyzer.runtime.loading import load_model
from tests.laws.benches import Bench, Case
from tests.models import Array

SAYINGS = ("trend", "weighted_sum", "multiplied", "affine", "looks_up")  # what bounds are made of
POINTS = 200  # inputs that are tried per box
SCALES = (1e-4, 1.0, 1.0, 1.0, 30.0, 1e4)  # of numbers of both signs
OFFSETS = (0.0, 0.0, 0.0, 1.0, -300.0, 1e5)


def bounds_hold(case: Case, random: Random) -> None:
    """Whatever lies in a box comes out between the bounds; an input without a box may be any number."""
    bounds_held(case, random)


def bounds_held(case: Case, random: Random) -> int:
    """How many numbers were compared."""
    if not says_something(rule_for(case.node.domain, case.node.op_type)):
        return 0
    bench, compared = Bench(case), 0
    boxes = {name: drawn_box(random, case, name) for name in case.feeds}
    given = {name: box for name, box in boxes.items() if random.random() > 0.15}
    bounds = interval_bounds(load_model(case.model()), bench.context.table, given, threads=1)
    generator = np.random.default_rng(random.getrandbits(32))
    for _ in range(POINTS if set(case.outputs) & set(bounds) else 0):
        feed = {name: drawn_point(generator, box, case.arrays[name]) for name, box in boxes.items()}
        with np.errstate(all="ignore"):
            seen = bench.run(feed)
        if not all(np.isfinite(array.astype(np.float64)).all() for array in seen.values()):
            continue  # bounds are about runs in which every value is a number
        for name in set(case.outputs) & set(bounds):
            low, high = bounds[name].low.astype(np.float64), bounds[name].high.astype(np.float64)
            assert low.shape == high.shape == seen[name].shape, f"bounds of shape {low.shape}: {case}"
            number = seen[name].astype(np.float64)
            wrong = ~((low <= number) & (number <= high))
            what = f"{number[wrong][:3]} is not in [{low[wrong][:3]}, {high[wrong][:3]}] of {name}"
            assert not wrong.any(), f"{what}: {case} at {feed} in {given}"
            compared += number.size
    return compared


def says_something(rule: Operator) -> bool:
    """Whether a rule says anything that bounds are made of."""
    return any(getattr(type(rule), name) is not getattr(Operator, name) for name in SAYINGS)


def drawn_box(random: Random, case: Case, name: str) -> Box:
    """Between two arrays such as the input may be; some of no width, some far from 0."""
    array, sampler = case.arrays[name], case.sampler(name)
    generator = np.random.default_rng(random.getrandbits(32))
    one, other = (np.asarray(sampler(generator, array.shape), array.dtype) for _ in range(2))
    if random.random() < 0.2:
        other = one
    if array.dtype == np.float32 and name not in case.samplers:
        scale, offset = np.float32(random.choice(SCALES)), np.float32(random.choice(OFFSETS))
        one, other = (part * scale + offset for part in (one, other))
        if random.random() < 0.2:  # some formulas give no number below 0
            one, other = np.abs(one), np.abs(other)
        fixed = generator.random(array.shape) < random.choice([0.0, 0.0, 0.3])
        other = np.where(fixed, one, other)
    return Box(np.minimum(one, other), np.maximum(one, other))


def drawn_point(generator: np.random.Generator, box: Box, like: Array) -> Array:
    """A corner, something in between, or some of both."""
    upper = generator.random(like.shape) < generator.choice([0.0, 0.5, 0.5, 1.0])
    corner = np.where(upper, box.high, box.low)
    if like.dtype.kind not in "fiu" or generator.random() < 0.5:
        return np.asarray(corner, like.dtype)
    share = generator.random(like.shape)
    between = box.low + share * (box.high.astype(np.float64) - box.low)
    inner = np.clip(np.asarray(between, like.dtype), box.low, box.high)
    return np.asarray(np.where(generator.random(like.shape) < 0.5, inner, corner), like.dtype)
