"""There was nothing to audit.

What it means
    The model has no activation or layer output whose units can be told apart, or all of them lie inside `If`,
    `Loop` or `Scan`.

Why it matters
    Nothing was checked, and a check that looked at nothing must not be taken for one that passed.

What to do
    Export the model without control flow around its body, or take it out of the gate. Where a budget was set this
    is an error, because the budget could not be held against anything.

Evidence
    The list of audited layers is empty.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    if not situation.layers:
        asked = situation.budgets.any_limit
        yield kind.finding(
            "The model has no units to audit"
            + (", so no budget could be checked." if asked else ": nothing was checked."),
            severity=Severity.ERROR if asked else kind.severity,
        )


KIND = FindingKind("DU011", "nothing-audited", Severity.WARNING, find, __name__, in_audit=True)
