"""Every finding there is, in the order of the codes. A new one is one more file and one more name here."""

from __future__ import annotations

from analyzer.errors import InputError
from analyzer.facts.budgets import suggestion
from analyzer.gate import (
    baseline_incomparable,
    constant_over_budget,
    dead_above_baseline,
    dead_over_budget,
    expected_dead_alive,
    holdout_revives,
    input_features_dead,
    input_ignored,
    layer_dead,
    layer_mostly_dead,
    layer_over_budget,
    near_dead_over_budget,
    newly_dead,
    no_probe,
    nonfinite,
    nothing_audited,
    output_constant,
    probe_too_small,
    prunable_over_budget,
    random_probe,
    saturated_over_budget,
    stuck_at_bound,
)
from analyzer.gate.rule import Rule

RULES: tuple[Rule, ...] = (
    layer_dead.RULE,
    nonfinite.RULE,
    input_features_dead.RULE,
    input_ignored.RULE,
    output_constant.RULE,
    stuck_at_bound.RULE,
    probe_too_small.RULE,
    holdout_revives.RULE,
    dead_above_baseline.RULE,
    newly_dead.RULE,
    nothing_audited.RULE,
    random_probe.RULE,
    no_probe.RULE,
    layer_mostly_dead.RULE,
    dead_over_budget.RULE,
    layer_over_budget.RULE,
    constant_over_budget.RULE,
    near_dead_over_budget.RULE,
    saturated_over_budget.RULE,
    prunable_over_budget.RULE,
    expected_dead_alive.RULE,
    baseline_incomparable.RULE,
)
_BY_CODE = {rule.code: rule for rule in RULES}


def rule_named(code: str) -> Rule:
    """The rule of a code.

    Raises:
        InputError: there is none.
    """
    found = _BY_CODE.get(code.upper())
    if found is None:
        raise InputError(f"There is no finding {code}{suggestion(code.upper(), _BY_CODE)}")
    return found
