"""Checks made by hand, for tests of the formats: one that fails in every way, one that passes, one with a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.facts.audit import AuditFacts, ProbeSummary
from analyzer.facts.baseline import Baseline, BaselineLayer
from analyzer.facts.budgets import budgets_of
from analyzer.facts.checked import CheckFacts
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.facts.pairing import LayerKey
from analyzer.gate import judge
from tests.made import facts, first_dead, layer, of_module, relu, seen, tanh

# What an attacker would call a tensor: ends a table cell, a code span, a tag, an XML text, a log line, a command.
HOSTILE = "a|b`c``d<script>&amp;\n::error::x\x1b[31m]]>{0}[e](http://f) @someone ##[add-mask]g,h:i%0A\ud800\ufffe"


def failing() -> CheckFacts:
    """Something of everything, under names that try to break out."""
    dead = of_module(first_dead(8, 8, HOSTILE), HOSTILE)
    statistics = seen([0, 0, 0, 0], [0, 1, 1, 1], 360, nonfinite=np.array([0, 0, 2, 0]))
    layers = (
        replace(dead, revived=(0,)),
        of_module(first_dead(32, 20, "/net/2/Relu_output_0"), "net.2"),
        layer(tanh(4), seen([1, -1, -0.5, -1], [1, -1, 0.5, 1], 360, low_samples=[0, 0, 0, 359])),
        layer(relu(4, "/net/3/Relu_output_0"), statistics),
    )
    audit = replace(
        facts(layers, probe=ProbeSummary(f"{HOSTILE}.npz", 20, "xxh3:0", random=True)),
        unused_inputs=(
            UnusedInput("pixels", (1, 64), 64, 2, 1, (0, 63), structural=True),
            UnusedInput("mask", (1, 8), 8, 8, None, tuple(range(8)), structural=False),
        ),
        constant_outputs=(ConstantOutput("logits", (1, 10), 1, (3,), 10, structural=False),),
    )
    model = replace(audit.model, path=f"models/{HOSTILE}/net 1.onnx")
    settings = {
        "max-dead": "5%",
        "max-dead-layer": {"*": 10, "tanh": "50%"},
        "max-constant": 1,
        "max-saturated-layer": 0,
        "max-prunable": "10%",
        "max-prunable-layer": "90%",
        "min-samples": 300,
        "expect-dead": ["/net/9/gone:*"],
        "ignore": ["DU014"],
    }
    return judge(replace(audit, model=model), budgets_of(settings))


def passing() -> CheckFacts:
    """A healthy model within a budget."""
    return judge(healthy(), budgets_of({"max-dead": "10%", "min-samples": 300}))


def healthy() -> AuditFacts:
    """Two layers, of which three units are dead."""
    return facts((first_dead(64, 0, "/net/0/Relu_output_0"), first_dead(32, 3, "/net/2/Relu_output_0")))


def with_baseline() -> CheckFacts:
    """Some units died, one came back, a layer was renamed, one is new and one is gone."""
    layers = (
        first_dead(64, 5, "renamed"),
        first_dead(32, 3, "/net/2/Relu_output_0"),
        first_dead(16, 0, "new"),
    )
    then = baseline(
        (was("/net/0/Relu_output_0", 64, {0, 1}), was("/net/2/Relu_output_0", 32, {0, 1, 2, 9}), was("old", 12, set()))
    )
    return judge(facts(layers), None, then)


def baseline(layers: Sequence[BaselineLayer], source: str = "baselines/before.json") -> Baseline:
    """An earlier audit on other data."""
    return Baseline(source, "xxh3:1", 500, tuple(layers))


def was(value: str, units: int, dead: set[int], kind: str = "rectifier") -> BaselineLayer:
    """A layer of a baseline."""
    return BaselineLayer(LayerKey(value, kind, units), frozenset(dead), frozenset(), 500)
