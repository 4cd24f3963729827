"""The holdout wakes units that are dead on the probe.

What it means
    Some units never fired on the probe and do on the second data set.

Why it matters
    The probe does not cover what the model will see, so every other "dead" in this check is worth less, and a model
    pruned on this probe would have lost something.

What to do
    Put both data sets into one probe and check again. If only a few samples wake the units, look at those: they are
    what the probe lacks.

Evidence
    The same units, run on both sets. Only with `--holdout`.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer."""
    for layer in situation.layers:
        if layer.revived:
            verb = "is" if len(layer.revived) == 1 else "are"
            who = f"{len(layer.revived):,} of {counted(len(layer.dead), 'dead unit')} {verb} alive on the holdout"
            yield kind.of_layer(
                layer,
                f"{who}: the probe does not cover what the model will see.",
                layer.revived,
                measured=len(layer.revived) / max(len(layer.dead), 1),
            )


KIND = FindingKind("DU008", "holdout-revives", Severity.WARNING, find, __name__, in_audit=True)
