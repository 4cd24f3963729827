"""How often experts are chosen, and how much is stored for them: on which data, by which scores, beside what."""

from __future__ import annotations

import numpy as np
import pytest

import analyzer
from analyzer import Data
from analyzer.errors import InputError
from analyzer.facts.experts import RoutedExperts
from tests.models import run
from tests.routed import (
    EXPERTS,
    FORMS,
    INSIDE,
    WEIGHTS,
    WIDTH,
    data,
    model,
    model_with,
    pruned,
    routers,
    same,
    stored,
    written,
)


def test_only_real_data_shows_where_tokens_go() -> None:
    for nothing in (None, Data(random=4, dims={"T": 3})):
        with pytest.raises(InputError, match="give a probe"):
            analyzer.audit(model("fused"), nothing, experts=True)
    feeds = [{"x": x} for x in data(4)]
    for once in (iter(feeds), Data({"x": data()}, iter(feeds))):
        with pytest.raises(InputError, match="can be read only once, and which experts"):
            analyzer.audit(model("fused"), once, experts=True, progress=lambda *_: pytest.fail("after the long work"))


@pytest.mark.parametrize("unseen", ["refused", "next"])
@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_nodes_that_choose_differently_by_the_same_scores_are_counted_apart(
    first: int, second: int, unseen: str
) -> None:
    router = np.zeros((WIDTH, EXPERTS), np.float32)
    router[:] = [3, 1, -2, 2, 0.2, -3]
    chooses = "com.microsoft.MoE<k={}, normalize_routing_weights=1>(x, s, rows1{more}, bias1, rows2{more})"
    moe = (
        FORMS["fused"].split("m = ")[0]
        + f"a = {chooses.format(first, more='')} b = {chooses.format(second, more='b')} "
    )
    FORMS["both"] = moe + "m = Add(a, b) t = Reshape(m, flat) "
    try:
        arrays = stored("fused")
        before = model("both", router=router, rows1b=arrays["rows1"][::-1], rows2b=arrays["rows2"][::-1])
        result = pruned(before, unseen_expert=unseen)
    finally:
        del FORMS["both"]
    found = {facts.router: facts for facts in result.audit.facts.experts or ()}
    tokens = {1: [120, 0, 0, 0, 0, 0], 2: [120, 0, 0, 120, 0, 0]}
    assert {name: facts.counts.tolist() for name, facts in found.items()} == {"a": tokens[first], "b": tokens[second]}
    assert {name: len(gone) for name, gone in result.facts.removed_experts.items()} == {"a": 6 - first, "b": 6 - second}
    assert same(before, written(result), data())


@pytest.mark.parametrize("form", ["fused", "gather"])
def test_weights_that_the_model_gives_out_stay(form: str) -> None:
    arrays = stored(form)
    shown = "rows1" if form == "fused" else "first"
    before = model_with(form, {}, also=f", float[{', '.join(map(str, arrays[shown].shape))}] {shown}")
    result = pruned(before)
    assert np.array_equal(run(written(result), {"x": data()})[shown], arrays[shown])
    assert same(before, written(result), data())
    (facts,) = result.audit.facts.experts or ()
    whole, kept = (
        (0, 0) if form == "gather" else (INSIDE + WIDTH, WEIGHTS // 2 + 1 + 2)
    )  # other weights; a copy of these
    idle = len(facts.idle)
    assert facts.removable == idle * (WEIGHTS // 2 + whole) - (EXPERTS - idle) * kept


@pytest.mark.parametrize("form", ["fused", "shares"])
def test_in_old_files_the_number_of_chosen_is_an_attribute(form: str) -> None:
    before = model_with(form, {}, opset=9)
    result = pruned(before)
    assert result.facts.removed_experts
    assert same(before, written(result), data())


@pytest.mark.parametrize("form", ["fused", "packed", "gather", "argmax"])
def test_what_is_stored_by_expert_is_counted_without_a_cut(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.api.expert_counts.cut", lambda *_, **__: pytest.fail("a cut for each router"))
    (facts,) = routers(model(form))
    assert facts.removable


def test_the_bound_holds() -> None:
    """Experts of very different shares, two of them to a token: what was not seen is hit no more often than said."""
    random = np.random.default_rng(8)
    shares = 1 / np.arange(1, 17) ** 2.0
    held = 0
    for _ in range(200):
        tokens = np.argsort(random.gumbel(size=(60, 16)) + np.log(shares), axis=1)[:, -2:]
        facts = RoutedExperts("r", np.bincount(tokens.reshape(-1), minlength=16), 2)
        further = np.argsort(random.gumbel(size=(4000, 16)) + np.log(shares), axis=1)[:, -2:]
        assert facts.unseen_bound is not None
        held += bool(np.isin(further, facts.idle).any(axis=1).mean() <= facts.unseen_bound)
    assert held >= 190
