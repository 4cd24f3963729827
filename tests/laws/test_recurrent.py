"""Hidden units that are constant: what they add to others goes into the bias, or onto a carrier."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.facts.cut import CutPlan
from analyzer.ops import recurrent
from tests.laws import shrink_laws
from tests.laws.benches import Bench, Case
from tests.laws.cases_recurrent import with_constants
from tests.laws.draws import Draw
from tests.laws.slicing import cut, run_cut, shrunk_model

EXAMPLES = {"LSTM": 25, "GRU": 100, "RNN": 25}  # so many that wrong rules below are seen


def hidden_constants_are_carried(case: Case, random: Random) -> None:
    """Without units that were seen to be constant, what is asked for comes out as before, from the first step on."""
    bench, (y, *_) = Bench(case), case.node.output
    facts = bench.facts({n: Constants.unknown(a.ndim) for n, a in case.feeds.items()})
    generator = np.random.default_rng(random.getrandbits(32))
    feeds = [bench.draw(generator, {n: Constants.unknown(a.ndim) for n, a in case.feeds.items()}) for _ in range(3)]
    seen = np.concatenate([bench.run(feed)[y] for feed in feeds])
    low, high = seen.min(axis=(0, 2), keepdims=True), seen.max(axis=(0, 2), keepdims=True)
    derived = bench.constants(facts)
    claims = [Constants(derived[0].known | (low == high), np.where(low == high, low, derived[0].number)), *derived[1:]]
    units = ~claims[0].known & (generator.random(low.shape) < 0.7)
    if not units.any():
        return
    asked = [units, *(pattern.uniform(len(s or ()), False) for s in bench.op.out_shapes[1:])]
    wanted = asked
    while True:  # constants that stay are asked for again, as the walk does
        needs = bench.call.rule.needs(bench.op, wanted, facts, claims)
        keeps = shrink_laws.closed(bench, wanted, needs, facts, claims)
        stay = claims[0].known & keeps.get((y, 3)) & keeps.alive(y)
        if not (stay & ~wanted[0]).any():
            break
        wanted = [wanted[0] | stay, *wanted[1:]]
    named = {n: f for n, f in [*zip(bench.op.inputs, facts, strict=True), (y, claims[0])] if n}
    model = shrunk_model(bench, CutPlan(keeps, named, frozenset({0}), frozenset()))
    inputs = {i.name for i in model.graph.input}
    small = {n: cut(a, keeps.vectors(n)) for n, a in feeds[0].items() if n in inputs}
    expected = cut(bench.run(feeds[0])[y], keeps.vectors(y))
    looked = cut(np.broadcast_to(units, bench.op.y_shape()), keeps.vectors(y))
    near = np.abs(run_cut(model, small, case)[y] - expected) <= 1e-4 * (1 + np.abs(expected))
    assert near[looked].all(), f"units that hear of constants differ: {case}"


@pytest.mark.parametrize("op", EXAMPLES)
def test_hidden_constants_are_carried(op: str) -> None:
    for seed in range(EXAMPLES[op]):
        random = Random(seed)
        hidden_constants_are_carried(with_constants(Draw(random), op), random)


def test_folding_what_units_are_later_into_the_bias_is_wrong_at_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = property(lambda self: self.known & self.column)
    monkeypatch.setattr(recurrent.State, "steady", folded)
    with pytest.raises(AssertionError, match="units that hear of constants differ"):
        test_hidden_constants_are_carried("LSTM")


def test_what_a_reset_gate_multiplies_is_no_summand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent.GRU, "columns", recurrent.Recurrent.columns)
    with pytest.raises(AssertionError, match="units that hear of constants differ"):
        test_hidden_constants_are_carried("GRU")
