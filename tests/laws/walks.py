"""The same laws for whole graphs: the walk against what onnxruntime shows for every value."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
import onnx

from analyzer.algebra.constants import Constants
from analyzer.facts.units import ShapeTable
from analyzer.ops.context import Context
from analyzer.runtime.loading import load_model
from analyzer.walk.flow import Seed, constants_forward, needs_backward
from tests.laws.benches import sampler_for
from tests.models import Array, all_values

Seeds = dict[str, Seed]


def random_seeds(random: Random, feeds: Mapping[str, Array]) -> Seeds:
    """Constant units for some float inputs."""
    seeds = {}
    for name, array in feeds.items():
        if array.dtype.kind == "f" and array.ndim and random.random() < 0.8:
            generator = np.random.default_rng(random.getrandbits(32))
            axis = 1 if array.ndim > 1 else 0
            units = np.flatnonzero(generator.random(array.shape[axis]) < random.choice([0.3, 0.7]))
            values = generator.choice([0.0, 1.0, -0.5], len(units))
            seeds[name] = Seed(axis, units, values, values, values)
    return seeds


def seeded(
    generator: np.random.Generator, feeds: Mapping[str, Array], seeds: Seeds, redraw: bool = True
) -> dict[str, Array]:
    """A feed in which the seeded units are constant."""
    result = {}
    for name, array in feeds.items():
        drawn = array
        if redraw and array.dtype.kind == "f":
            drawn = np.asarray(sampler_for(array)(generator, array.shape))
        if name in seeds and len(seeds[name].units):
            drawn = np.moveaxis(drawn.copy(), seeds[name].axis, 0)
            drawn[seeds[name].units] = seeds[name].values.reshape(-1, *(1,) * (drawn.ndim - 1))
            drawn = np.moveaxis(drawn, 0, seeds[name].axis)
        result[name] = np.asarray(drawn, array.dtype)
    return result


def context_for(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Context:
    """The graph as the rules see it, no axis holding samples."""
    shapes = {n: a.shape for n, a in all_values(model, feeds).items()}
    return Context(load_model(model).graph, ShapeTable(shapes, {}))


def claims_hold(model: onnx.ModelProto, feeds: Mapping[str, Array], random: Random) -> None:
    """Every constant that the walk derives from the inputs' constants is what onnxruntime shows."""
    context = context_for(model, feeds)
    seeds = random_seeds(random, feeds)
    facts = constants_forward(context, seeds)
    generator = np.random.default_rng(random.getrandbits(32))
    for _ in range(2):
        seen = all_values(model, seeded(generator, feeds, seeds))
        for name, found in facts.items():
            if name in seen and found.any and seen[name].dtype.kind in "fiub" and seen[name].ndim == found.rank:
                check_claim(name, found, seen[name])


def check_claim(name: str, found: Constants, seen: Array) -> None:
    """Known elements have the value that they are known to have."""
    known = np.broadcast_to(found.known, seen.shape)
    value = np.broadcast_to(found.number, seen.shape)
    with np.errstate(invalid="ignore"):
        wrong = known & (seen != value) & ~(np.abs(seen.astype(np.float64) - value) <= 1e-3 * (1 + np.abs(value)))
    assert not wrong.any(), f"{name}: claimed {value[wrong][:3]}, seen {seen[wrong][:3]}"


def unneeded_inputs_do_not_matter(model: onnx.ModelProto, feeds: Mapping[str, Array], random: Random) -> None:
    """Elements of inputs that the walk does not need may change without changing an output that is not constant."""
    context = context_for(model, feeds)
    seeds = random_seeds(random, feeds)
    facts = constants_forward(context, seeds)
    needs = needs_backward(context, facts)
    generator = np.random.default_rng(random.getrandbits(32))
    first = seeded(generator, feeds, seeds)
    changed = {}
    for name, array in first.items():
        keep = np.broadcast_to(needs.of(name, array.ndim) | facts[name].known, array.shape)
        drawn = np.asarray(sampler_for(array)(generator, array.shape), array.dtype)
        changed[name] = np.where(keep, array, drawn) if array.dtype.kind == "f" else array
    before, after = all_values(model, first), all_values(model, changed)
    for name in (o.name for o in model.graph.output):
        looked = ~np.broadcast_to(facts[name].known, before[name].shape) if name in facts else True
        equal = np.isclose(before[name].astype(np.float64), after[name].astype(np.float64), atol=1e-4, equal_nan=True)
        assert (equal | ~np.asarray(looked)).all(), f"{name} depends on inputs that are not needed"
