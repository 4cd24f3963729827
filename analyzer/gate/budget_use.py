"""How much of each budget is used: what the findings about budgets are made of, also where nothing is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from analyzer.facts.budgets import LayerLimits, Limit
from analyzer.facts.checked import BudgetUse
from analyzer.facts.wording import counted, number, share
from analyzer.gate.held_against_domain import proven_share
from analyzer.gate.over_budget import units_counted
from analyzer.gate.situation import Situation

VERDICTS = ("dead", "constant", "near_dead", "saturated")


@dataclass(frozen=True)
class _Part:
    """A layer or a stored tensor: `count` of its `whole` units or parameters count against a budget."""

    names: Sequence[str]
    count: int
    whole: int
    value: str
    module: str = ""

    def used(self, limit: Limit) -> float:
        """Of what is allowed; infinite where nothing is and something is there."""
        allowed = limit.count if limit.count is not None else (limit.share or 0.0) * self.whole
        return self.count / allowed if allowed else float("inf") * self.count if self.count else 0.0


def budget_uses(situation: Situation) -> tuple[BudgetUse, ...]:
    """All budgets that are set, in the order of the settings."""
    return tuple(_uses(situation))


def _uses(situation: Situation) -> Iterator[BudgetUse]:
    audit, budgets = situation.audit, situation.budgets
    judged, seen = audit.judged, bool(situation.layers) and audit.probe is not None
    for verdict in VERDICTS:
        layers = [
            _Part(a.audited.names, len(units_counted(situation, a, verdict)), a.units, a.value, a.audited.module)
            for a in situation.layers
        ]
        total = sum(layer.count for layer in layers), audit.units
        yield from _of_one(f"max-{verdict}", getattr(budgets, f"max_{verdict}"), *total, "unit", seen)
        yield from _of_each(f"max-{verdict}-layer", getattr(budgets, f"max_{verdict}_layer"), layers, "unit", seen)
    tensors = [_Part([t.name], t.removable, prod(t.shape), t.name) for t in audit.removable.tensors]
    total = audit.removable.parameters, audit.model.parameters
    yield from _of_one("max-prunable", budgets.max_prunable, *total, "parameter", seen)
    yield from _of_each("max-prunable-layer", budgets.max_prunable_layer, tensors, "parameter", seen)
    if budgets.min_judged is not None:
        within = None if judged.least is None else judged.covers(budgets.min_judged.share or 0.0)
        yield BudgetUse("min-judged", f"at least {budgets.min_judged}", judged.shares, within)
    if budgets.min_proven is not None:
        proven, within = proven_share(situation)
        found = _of(proven, audit.dead, "dead unit")
        yield BudgetUse("min-proven", f"at least {budgets.min_proven}", found, within if seen else None)
    if budgets.min_samples is not None:
        within = situation.samples >= budgets.min_samples
        yield BudgetUse("min-samples", f"at least {number(budgets.min_samples)}", number(situation.samples), within)


def _of_one(setting: str, limit: Limit | None, count: int, whole: int, noun: str, seen: bool) -> Iterator[BudgetUse]:
    if limit is not None:
        within = not limit.exceeded(count, whole) if seen else None
        yield BudgetUse(setting.replace("_", "-"), f"at most {limit}", _of(count, whole, noun), within)


def _of_each(setting: str, limits: LayerLimits, parts: Sequence[_Part], noun: str, seen: bool) -> Iterator[BudgetUse]:
    """Of each pattern the part that uses most of its limit."""
    for pattern, limit in limits.patterns:
        held = [part for part in parts if limits.pattern_of(part.names) == pattern]
        over = sum(limit.exceeded(part.count, part.whole) for part in held)
        nothing = (
            "no layer of this name" if noun == "unit" else "nothing can go"
        )  # tensors that stay whole are not listed
        most = max(held, key=lambda part: part.used(limit), default=None)
        yield BudgetUse(
            setting.replace("_", "-"),
            f"at most {limit}",
            nothing if most is None else _of(most.count, most.whole, noun),
            over == 0 if seen and (held or noun == "parameter") else None,
            pattern,
            *(("", "") if most is None else (most.value, most.module)),
            over=over,
            among=len(held),
        )


def _of(count: int, whole: int, noun: str) -> str:
    return f"{number(count)} of {counted(whole, noun)} ({share(count, whole)})"
