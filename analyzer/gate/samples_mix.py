"""Samples of one batch influence each other.

What it means
    What the model computes for one sample depends on which others are in the same batch.

Why it matters
    Nothing that is seen on single samples holds for a batch, so only what the weights alone decide is listed for these
    values. In deployment the same input gets another answer in other company.

What to do
    Export the model in inference mode (a BatchNormalization that still takes its statistics over the batch is the
    usual reason), or with the fixed batch size that it is used with.

Evidence
    One run on two samples differs from two runs on one sample each.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation, and_others


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, about the first such value."""
    mixed = situation.audit.conditions.mixed
    if mixed:
        yield kind.finding(
            f"Samples of one batch influence each other in this value{and_others(mixed, 'value')}: only what the "
            "weights alone decide counts. Export the model in inference mode, or with the fixed batch size that it is "
            "used with.",
            About.LAYER,
            value=mixed[0],
        )


KIND = FindingKind("DU023", "samples-mix", Severity.WARNING, find, __name__, in_audit=True)
