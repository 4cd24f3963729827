"""Part of the model could not be held against the baseline.

What it means
    Some layers have no partner in the baseline, or one of another width.

Why it matters
    Units that died in them are not seen; where no layer has a partner the baseline does nothing at all.

What to do
    After a change of the architecture, make a new baseline with `deadunits audit … --json FILE`.

Evidence
    Layers are matched by tensor name, and by place, kind and width where names changed. Where nothing matches at
    all this is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, and only with a baseline."""
    before = situation.comparison
    if before is None or not situation.layers:
        return
    lost = len(before.only_now) + len(before.resized)
    if not before.matched:
        yield kind.finding("No layer of the model is in the baseline.", About.BASELINE, severity=Severity.ERROR)
    elif lost or before.only_then:
        parts = [
            f"{counted(len(names), 'layer')} {what}"
            for names, what in (
                (before.only_now, "not in the baseline"),
                (before.only_then, "of the baseline gone"),
                (before.resized, "of another width"),
            )
            if names
        ]
        yield kind.finding(f"{', '.join(parts)}: their units were not compared.", About.BASELINE)


KIND = FindingKind("DU022", "baseline-incomparable", Severity.WARNING, find, __name__)
