"""More near-dead units than the budget allows.

What it means
    More units fire on hardly any sample than `--max-near-dead` or `--max-near-dead-layer` allows.

Why it matters
    Units that fire on one sample in a hundred are often the next to die, or stand for a rare class.

What to do
    See which samples wake them before calling them useless. What counts as near-dead follows `--preset` and
    `--near-dead`. If it is right so, raise the budget.

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
    yield from of_the_model(situation, rule, "near_dead", "near-dead", situation.budgets.max_near_dead)
    yield from of_each_layer(situation, rule, "near_dead", "near-dead", situation.budgets.max_near_dead_layer)


RULE = Rule("DU018", "near-dead-over-budget", Severity.ERROR, find, __name__)
