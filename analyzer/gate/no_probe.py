"""No probe was given.

What it means
    The model was not run: only what the weights alone decide was looked at.

Why it matters
    A unit that the data kills is not seen, so budgets hold almost always.

What to do
    Give data with `--probe`. Where a budget was set this is an error, because most of what it limits was not looked
    at.

Evidence
    No data was given.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    if situation.audit.probe is None:
        asked = situation.budgets.any_limit or situation.budgets.min_samples is not None
        yield kind.finding(
            "Without a probe only units that the weights alone decide are seen"
            + (", so the budgets could not be checked." if asked else "."),
            About.PROBE,
            severity=Severity.ERROR if asked else kind.severity,
        )


KIND = FindingKind("DU013", "no-probe", Severity.WARNING, find, __name__, in_audit=True)
