"""The share of dead units is far above the baseline's.

What it means
    Of the whole model, clearly more units are dead than in the audit it is held against: at least half as many
    again, and at least five points of a hundred more.

Why it matters
    Such a jump between two versions is rarely wanted. A changed preprocessing, a failed fine-tuning, an export that
    dropped weights and a bad calibration all look like this, while an accuracy measured on something else may still
    look right.

What to do
    Ask first whether model or data changed: run the old model on the new probe (`deadunits compare`). If the change
    is wanted, make a new baseline with `deadunits audit … --json FILE`.

Evidence
    Shares of all counted units, so layers need not be matched. Units in `expect-dead` count here as well, as they
    count in the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import share
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation

POINTS = 0.05
FACTOR = 1.5


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, and only with a baseline."""
    before, audit = situation.comparison, situation.audit
    if before is None or not before.units_then or not audit.units:
        return
    then, now = before.dead_then / before.units_then, audit.dead / audit.units
    limit = max(then + POINTS, FACTOR * then)
    if now >= limit * (1 - 1e-12):
        yield kind.finding(
            f"{share(now)} of all units are dead, {share(then)} were in the baseline.",
            About.BASELINE,
            measured=now,
            allowed=limit,
        )


KIND = FindingKind("DU009", "dead-above-baseline", Severity.ERROR, find, __name__)
