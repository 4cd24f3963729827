"""A derived constant was contradicted by the run, and withdrawn.

What it means
    Units of this value should be one and the same constant by derivation, but the run showed that they move.

Why it matters
    Nothing that follows from them is believed either, so less may go than could. What is reported does not rest on it.

What to do
    Nothing has to be done. Please report the model: a derivation that a run contradicts may be a bug, unless numbers
    overflow or are lost to rounding on the way.

Evidence
    The constant that was derived, and the smallest and the largest value that the run showed.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per value."""
    for withdrawn in situation.audit.conditions.withdrawn:
        yield kind.finding(
            f"{counted(len(withdrawn.units), 'unit')} should be constant by derivation (the first "
            f"{withdrawn.derived:g}), but the run showed otherwise ({withdrawn.low:g} to {withdrawn.high:g}): that is "
            "not believed, nor anything that follows from it.",
            About.LAYER,
            value=withdrawn.value,
            node=withdrawn.node,
            units=withdrawn.units,
        )


KIND = FindingKind("DU029", "derivation-withdrawn", Severity.WARNING, find, __name__, in_audit=True)
