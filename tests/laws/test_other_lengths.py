"""What a rule says of axes whose lengths inputs leave free holds where they are longer."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.facts.units import ShapeTable
from analyzer.ops.context import Context
from analyzer.runtime.loading import load_model
from tests.laws.benches import Bench, Case, random_mask
from tests.laws.cases import case_of
from tests.models import Array, all_values, parse


@pytest.mark.parametrize("op_type", ["ScatterND", "ScatterElements"])
@given(seed=st.integers(0, 2**32 - 1))
def test_scattering_by_stored_indices_into_more_places(op_type: str, seed: int) -> None:
    random = Random(seed)
    case = case_of(("", op_type), random)
    x, indices = (case.arrays[name] for name in ("x0", "x1"))
    if "x1" in case.stored and "x0" not in case.stored and not (indices < 0).any():
        addressed = range(x.ndim) if op_type == "ScatterElements" else range(indices.shape[-1])
        _holds_where_longer(case, random.choice(addressed), random)


def _holds_where_longer(case: Case, axis: int, random: Random) -> None:
    context = Bench(case).context
    free = Context(context.graph, replace(context.table, dynamic={name: frozenset({axis}) for name in ("x0", "y0")}))
    (call,) = free.calls
    facts = [
        Constants.exactly(case.arrays[n]) if n in case.stored else Constants.unknown(case.arrays[n].ndim)
        for n in call.inputs
    ]
    asked = pattern.some(random_mask(random, call.op.y_shape()), axis, keepdims=True)
    (claim,), need = call.rule.constants(call.op, facts), call.rule.needs(call.op, [asked], facts, [])[0]
    held = pattern.every(claim.known, axis, keepdims=True)
    held = held & (claim.number.min(axis=axis, keepdims=True) == claim.number.max(axis=axis, keepdims=True))
    needed = pattern.some(need, axis, keepdims=True)
    generator = np.random.default_rng(random.getrandbits(32))
    feeds = {n: case.sampler(n)(generator, a.shape) for n, a in case.feeds.items()}
    feeds["x0"] = _longer(generator, case.arrays["x0"], axis)
    before = _outcome(case, feeds)
    assert not (held & (before != claim.number.take([0], axis))).any(), (
        f"no constant where axis {axis} is longer: {case}"
    )
    changed = _longer(generator, case.arrays["x0"], axis)
    after = _outcome(case, {**feeds, "x0": np.where(needed, feeds["x0"], changed)})
    assert not (asked & ~held & (before != after)).any(), f"needed where axis {axis} is longer: {case}"


def test_axes_that_a_reshape_joins_otherwise_at_other_lengths() -> None:
    claims = sum(_passes_the_same_where_longer(Random(seed)) for seed in range(2000))
    assert claims > 150


def _passes_the_same_where_longer(random: Random) -> bool:
    """Whether something is claimed that depends on which axes become which."""
    moving, times = random.randrange(3), random.choice([2, 3])
    one = tuple(random.choice([1, 2, 3, 4]) for _ in range(3))
    joined = random.choice([[one[:1], one[1:]], [one[:2], one[2:]], [one[:1], one[1:2], one[2:]]])
    free = random.randrange(len(joined))
    target = [prod(part) for part in joined]
    if random.random() < 0.5:
        target = [random.choice([1, 2, 3, 4, *one]) for _ in joined]
    if prod(one) % (prod(target) // target[free]):
        return False
    target[free] = -1
    other = tuple(n * times if axis == moving else n for axis, n in enumerate(one))
    shapes = [{"x": shape, "y": np.zeros(shape).reshape(target).shape} for shape in (one, other)]
    dynamic = {n: frozenset(a for a, d in enumerate(shapes[0][n]) if shapes[1][n][a] != d) for n in "xy"}
    axes = ", ".join("DEF"[: len(target)])
    model = parse(f"g (float[A, B, C] x) => (float[{axes}] y) {{ y = Reshape(x, s) }}", {"s": np.array(target)})
    table = ShapeTable(shapes[0], {}, dynamic=dynamic, resized=(shapes[1],))
    (call,) = Context(load_model(model).graph, table).calls

    def longer(array: Array, name: str, like: str) -> Array:
        """What a pattern that does not vary along axes whose length changes says at the other length."""
        return np.broadcast_to(array, shapes[1][name]).reshape(shapes[1][like])

    x, y = (_alike(random_mask(random, shapes[0][n]), dynamic[n], np.all) for n in "xy")
    x = x | (random.random() < 0.5)
    varying = [1 if axis in dynamic["x"] or random.random() < 0.5 else n for axis, n in enumerate(one)]
    numbers = np.random.default_rng(random.getrandbits(32)).integers(0, 9, varying)
    facts = [Constants(x, np.where(x, numbers, 0)), Constants.exactly(np.array(target))]
    made = call.rule.constants(call.op, facts)[0]
    low, high = (_alike(made.number, dynamic["y"], fold) for fold in (np.min, np.max))
    claim = _alike(made.known, dynamic["y"], np.all) & (low == high)
    held, said = longer(claim, "y", "y"), longer(low, "y", "y")
    assert not (held & ~longer(x, "x", "y")).any(), f"no constant: {shapes} {target}"
    assert not (held & (said != longer(numbers, "x", "y"))).any(), f"another constant: {shapes} {target}"
    need = _alike(call.rule.needs(call.op, [y], facts, [])[0], dynamic["x"], np.any)
    assert not (longer(y, "y", "x") & ~longer(need, "x", "x")).any(), f"needed: {shapes} {target}"
    return bool(held.any() and np.ptp(said[held]))


def _alike(mask: Mask, axes: frozenset[int], fold: Any) -> Mask:
    return np.asarray(fold(mask, axis=tuple(axes), keepdims=True))


def _longer(generator: np.random.Generator, array: Array, axis: int) -> Array:
    shape = [length + 2 * (a == axis) for a, length in enumerate(array.shape)]
    return np.asarray(generator.normal(0, 1, shape)).astype(array.dtype)


def _outcome(case: Case, feeds: dict[str, Array]) -> Array:
    longer = replace(case, arrays={**case.arrays, **feeds})
    return np.asarray(all_values(longer.model(), feeds)["y0"])
