"""More dead units than the budget allows.

What it means
    More units of the whole model are dead than `--max-dead` allows.

Why it matters
    The budget states how much of a model may be useless before somebody has to look at it.

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
from analyzer.gate.over_budget import of_the_model
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """At most one finding."""
    yield from of_the_model(situation, rule, "dead", "dead", situation.budgets.max_dead)


RULE = Rule("DU015", "dead-over-budget", Severity.ERROR, find, __name__)
