"""A layer was not looked at.

What it means
    The run did not show the units of this value: its shape in the run is not the one that its units were counted by.

Why it matters
    Only what the weights alone decide is listed for it. Units that the data kills are not seen there.

What to do
    Take it into account when the layer matters; please report the model if its shape is an ordinary one.

Evidence
    The shapes of the run.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per value."""
    for value in situation.audit.conditions.unseen:
        yield kind.finding(
            "This value was not looked at, as its shape in the run does not show its units: only what the weights "
            "alone decide is listed for it.",
            About.LAYER,
            value=value,
        )


KIND = FindingKind("DU026", "not-seen", Severity.WARNING, find, __name__, in_audit=True)
