"""Samples shared runs because they are said to be independent.

What it means
    Nothing proves that the samples of one batch do not influence each other; `--independent` says that they do not.

Why it matters
    If it is not so, a unit may be dead in the company of these samples, and alive alone or among others.

What to do
    Nothing, if you know the model. Otherwise leave `--independent` out: the same is found, in more time.

Evidence
    `--independent` was given, and the descriptions of the operators leave it open. A look at two samples in one run did
    not contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    conditions = situation.audit.conditions
    if conditions.stated:
        yield kind.finding(
            f"Samples shared runs because they are said to be independent (--independent); nothing proves it "
            f"({conditions.may_mix}).",
            About.PROBE,
        )


KIND = FindingKind("DU030", "independence-stated", Severity.NOTE, find, __name__, in_audit=True)
