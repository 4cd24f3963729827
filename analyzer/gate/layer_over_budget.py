"""A layer has more dead units than the budget allows.

What it means
    More units of one layer are dead than `--max-dead-layer` allows for it.

Why it matters
    A layer can die while the model's total stays within its budget: a narrow layer hardly counts in the total and
    everything has to pass through it.

What to do
    Look at the layers with most of them first. If the model is right as it is, raise the budget, or name the units
    in `expect-dead`; `deadunits prune` removes dead units for good. A single layer gets its own limit with
    `--max-dead-layer 'PATTERN=LIMIT'`.

Evidence
    Counted on all samples of the probe, values that show the same units once, units in `expect-dead` left out. A
    budget is a count (`5`) or a share (`5%`).
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.gate.over_budget import of_each_layer
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """One finding per layer."""
    yield from of_each_layer(situation, rule, "dead", "dead", situation.budgets.max_dead_layer)


RULE = Rule("DU016", "dead-layer-over-budget", Severity.ERROR, find, __name__)
