"""What a pruned file and its report say where the data was random, or where nothing went."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice, InputError
from analyzer.api.choosing import choice_from_plan
from analyzer.report.prune.worth import verdict
from tests.equivalence.cases import killed, weights, zeroed
from tests.models import parse

X = np.random.default_rng(0).standard_normal((60, 7)).astype(np.float32)


@pytest.fixture
def model() -> onnx.ModelProto:
    stored = killed(weights(w1=(7, 6), b1=(6,), w2=(6, 4), b2=(4,)), "b1", (0, 2))
    return parse(
        "g (float[N,7] x) => (float[A,B] y) {\nh = Gemm(x, w1, b1)\na = Relu(h)\ny = Gemm(a, w2, b2)\n}", stored
    )


def test_a_file_pruned_on_random_data_says_so_and_gives_no_bound(model: onnx.ModelProto) -> None:
    drawn = analyzer.prune(model, analyzer.Data(random=30), latency=False)
    said = {p.key: p.value for p in onnx.ModelProto.FromString(drawn.data).metadata_props}
    assert said["deadunits.probe"] == "random data"
    assert said["deadunits.evidence"] == "observed"
    assert "deadunits.firing_bound_95" not in said
    given = analyzer.prune(model, X, latency=False)
    said = {p.key: p.value for p in onnx.ModelProto.FromString(given.data).metadata_props}
    assert "deadunits.probe" not in said
    assert float(said["deadunits.firing_bound_95"]) < 0.05


@pytest.mark.parametrize("structural", [False, True])
def test_the_file_and_the_facts_say_alike_what_the_smaller_model_rests_on(structural: bool) -> None:
    """Of branches that samples choose there are none here."""
    stored = killed(weights(w1=(7, 6), w2=(6, 4)) | {"b1": np.ones(6, np.float32)}, "b1", (0, 2))
    stored = zeroed(stored, "w1", (0, 2), axis=1) if structural else stored
    body = "h = Gemm(x, w1, b1) a = Relu(h) y = MatMul(a, w2)"
    drawn = analyzer.prune(
        parse(f"g (float[N,7] x) => (float[A,B] y) {{ {body} }}", stored),
        X,
        choice=Choice(branches="taken"),
        latency=False,
    )
    said = {p.key: p.value for p in onnx.ModelProto.FromString(drawn.data).metadata_props}
    assert said["deadunits.evidence"] == ("structural" if structural else "observed")
    assert drawn.facts.observed == (not structural)
    assert "deadunits.branches" not in said


@pytest.mark.parametrize("remove", [1, 0, "yes", "false", None])
def test_a_plan_says_true_or_false(remove: Any) -> None:
    plan = {"schema": "deadunits.plan/1", "units": {"a": [{"unit": 0, "remove": remove}]}}
    with pytest.raises(InputError, match=r"units of a are damaged: each is written as .*true or false"):
        choice_from_plan(plan, Choice())


@pytest.mark.parametrize(
    ("choice", "note"),
    [
        (Choice(round_to=1000), "widths were to stay multiples of 1000"),
        (Choice(skip=("a",)), "choice leaves them"),
        (Choice(units={}), "choice leaves them"),
        (Choice(evidence="structural"), "only structural evidence"),  # type: ignore[arg-type]
    ],
)
def test_dead_units_that_stay_have_a_reason_below(model: onnx.ModelProto, choice: Choice, note: str) -> None:
    found = analyzer.prune(model, X, choice=choice, latency=False)
    assert not found.changed
    assert len(found.facts.notes) == 1
    assert note in found.facts.notes[0]
    assert verdict(found.audit.facts, found.facts) == "Nothing to remove: the dead units stay, see below."


def test_without_a_reason_none_is_promised() -> None:
    stored = killed(weights(w1=(7, 6), b1=(6,)), "b1", (0, 2))
    model = parse("g (float[N,7] x) => (float[N,6] y) {\nh = Gemm(x, w1, b1)\ny = Relu(h)\n}", stored)
    found = analyzer.prune(model, X, latency=False)
    assert not found.changed
    assert found.audit.locked
    assert verdict(found.audit.facts, found.facts) == "Nothing to remove: the dead units stay, see below."
