"""Causes of death could not be measured.

What it means
    The data could not be run a second time, so causes come from the weights alone and it is not known how far dead
    units are from firing.

Why it matters
    The verdicts are the same. Their causes may be coarser, and `--min-distance` keeps every unit.

What to do
    Give data that can be read twice: a file or a folder and not a generator that ends. The message says what failed.

Evidence
    The second pass over the probe failed.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    if situation.audit.conditions.causes_failed:
        yield kind.finding(
            "Causes come from the weights alone, and how far units are from firing is not known, because the data "
            f"could not be run a second time: {situation.audit.conditions.causes_failed}",
            About.PROBE,
        )


KIND = FindingKind("DU028", "causes-not-measured", Severity.NOTE, find, __name__, in_audit=True)
