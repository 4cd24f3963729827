"""Whole networks: what the walk derives is what onnxruntime shows, and what it cuts changes nothing."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audits import pruned, pruned_unseen
from tests.laws.nets import random_net
from tests.laws.walks import check_claim, claims_hold, unneeded_inputs_do_not_matter
from tests.models import all_values, run

EXAMPLES = max(settings().max_examples // 2, 10)
SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


@quick
@given(seed=SEEDS)
def test_constants_derived_from_the_inputs_are_constant(seed: int) -> None:
    random = Random(seed)
    claims_hold(*random_net(random), random)


@quick
@given(seed=SEEDS)
def test_inputs_that_the_walk_does_not_need_do_not_matter(seed: int) -> None:
    random = Random(seed)
    unneeded_inputs_do_not_matter(*random_net(random), random)


@quick
@given(seed=SEEDS)
def test_a_cut_network_gives_what_the_whole_one_gives(seed: int) -> None:
    model, feeds = random_net(Random(seed))
    found = pruned(model, feeds)
    values = all_values(model, feeds)
    for name, fact in found.walk.facts.items():
        if name in values and fact.any and fact.rank == values[name].ndim:
            check_claim(name, fact, values[name])
    largest = max(float(np.abs(a).max()) for a in run(model, feeds).values())
    assert found.difference <= 1e-4 * (1 + largest)


@quick
@given(seed=SEEDS)
def test_what_the_weights_alone_decide_holds_for_data_never_seen(seed: int) -> None:
    model, feeds = random_net(Random(seed))
    draws = np.random.default_rng(seed)
    fresh = {n: np.asarray(draws.normal(0.3, 2, a.shape), a.dtype) for n, a in feeds.items()}
    found = pruned_unseen(model, feeds, fresh)
    largest = max(float(np.abs(a).max()) for a in run(model, fresh).values())
    assert found.difference <= 1e-4 * (1 + largest)
