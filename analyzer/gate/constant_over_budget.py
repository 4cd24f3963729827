"""More constant units than the budget allows.

What it means
    More units are stuck at a constant that is not zero than `--max-constant` or `--max-constant-layer` allows.

Why it matters
    Such units shift everything behind them by a fixed amount: typical of saturated activations and of normalisation
    with a scale of zero.

What to do
    Look at the layers with most of them first. If the model is right as it is, raise the budget, or name the units
    in `expect-dead`; `deadunits prune` removes dead units for good.

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
    yield from of_the_model(situation, rule, "constant", "constant", situation.budgets.max_constant)
    yield from of_each_layer(situation, rule, "constant", "constant", situation.budgets.max_constant_layer)


RULE = Rule("DU017", "constant-over-budget", Severity.ERROR, find, __name__)
