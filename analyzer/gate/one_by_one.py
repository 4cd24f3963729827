"""Samples were run one by one.

What it means
    The model, or the data, does not take several samples at once, or samples of one batch influence each other, or
    nothing proves that they do not.

Why it matters
    The result is the same; it only takes longer.

What to do
    Export the model with a dynamic batch axis where that is possible. If you know that samples do not influence each
    other, say so with `--independent`.

Evidence
    A run on two samples failed, or gave something else than two runs on one; or the descriptions of the operators
    prove nothing, and the first one that leaves it open is named.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    conditions = situation.audit.conditions
    if conditions.one_by_one and situation.samples > 1:
        why = (
            "as they influence each other where the model takes several at once."
            if conditions.mixed
            else f"as nothing proves that they do not influence each other ({conditions.may_mix}); if you know that "
            "they do not, --independent runs them together."
            if conditions.may_mix
            else "as the model (or the data) does not take several at once; a model exported with a dynamic batch axis "
            "is audited faster."
        )
        yield kind.finding(f"Samples were run one by one, {why}", About.PROBE)


KIND = FindingKind("DU024", "one-by-one", Severity.NOTE, find, __name__, in_audit=True)
