"""More saturated units than the budget allows.

What it means
    More sigmoid or tanh units lie in their flat region on almost every sample than `--max-saturated` or
    `--max-saturated-layer` allows.

Why it matters
    A saturated unit passes hardly any information and hardly any gradient. Inputs on the wrong scale are the usual
    reason.

What to do
    Check the scaling of the data, then the normalisation in front of the layer. What counts as saturated follows
    `--preset`.

Evidence
    Counted on all samples of the probe, values that show the same units once, units in `expect-dead` left out. A
    budget is a count (`5`) or a share (`5%`).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.gate.over_budget import of_each_layer, of_the_model
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """At most one finding about the model, and one per layer."""
    yield from of_the_model(situation, rule, "saturated", "saturated", situation.budgets.max_saturated)
    yield from of_each_layer(situation, rule, "saturated", "saturated", situation.budgets.max_saturated_layer)


RULE = Rule("DU019", "saturated-over-budget", Severity.ERROR, find, __name__)
