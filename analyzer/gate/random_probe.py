"""The probe is random data.

What it means
    The model was run on random numbers and not on data that it was made for.

Why it matters
    Units that are dead on noise may be alive on real inputs, and the other way round. Random data shows that a gate
    runs, not that a model is sound.

What to do
    Give real data with `--probe`; a few hundred samples are enough to begin with.

Evidence
    `--random` was given.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    probe = situation.audit.probe
    if probe is not None and probe.random:
        yield kind.finding("The model was run on random data: units may well be alive on real inputs.", About.PROBE)


KIND = FindingKind("DU012", "random-probe", Severity.WARNING, find, __name__, in_audit=True)
