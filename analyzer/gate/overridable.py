"""Stored tensors can be overridden from outside.

What it means
    Some stored tensors are listed as inputs of the model as well, so whoever runs it may give others.

Why it matters
    Such a tensor is no constant: nothing is concluded from its numbers, and it is left whole, so less can go.

What to do
    If it is never overridden, export without `keep_initializers_as_inputs`.

Evidence
    The file's list of inputs. Where most weights are listed it is an exporter's habit, and they are taken for
    constants.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation, and_others


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, about the first such tensor."""
    overridable = situation.audit.conditions.overridable
    if overridable:
        yield kind.finding(
            f"This stored tensor{and_others(overridable, 'tensor')} can be overridden by whoever runs the model: taken "
            "for no constant, and left whole. If that is never done, export without keep_initializers_as_inputs.",
            About.TENSOR,
            value=overridable[0],
        )


KIND = FindingKind("DU025", "overridable", Severity.NOTE, find, __name__, in_audit=True)
