"""What a rule says of axes whose lengths inputs leave free holds where they are longer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.ops.context import Context
from tests.laws.benches import Bench, Case, random_mask
from tests.laws.cases import case_of
from tests.models import Array, all_values


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


def _longer(generator: np.random.Generator, array: Array, axis: int) -> Array:
    shape = [length + 2 * (a == axis) for a, length in enumerate(array.shape)]
    return np.asarray(generator.normal(0, 1, shape)).astype(array.dtype)


def _outcome(case: Case, feeds: dict[str, Array]) -> Array:
    longer = replace(case, arrays={**case.arrays, **feeds})
    return np.asarray(all_values(longer.model(), feeds)["y0"])
