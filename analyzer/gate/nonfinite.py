"""A unit showed NaN or infinity.

What it means
    On some samples the value of a unit was not a number, or was infinite.

Why it matters
    What follows computes with it, so outputs are NaN, or a saturated value that hides it. In deployment such a
    sample gives no usable answer, and often no error either.

What to do
    Find the first layer that is listed: later ones only inherit it. Typical causes are a division by zero or a
    logarithm of zero, half precision that overflows (compare with the float32 model: `deadunits compare`), a
    normalisation of something that never varies, and NaN in the data itself.

Evidence
    Counted on every sample of the probe. Such units get no other verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation, first_of


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer that showed such values."""
    broken = [layer for layer in situation.layers if layer.nonfinite]
    for layer in broken:
        seen = layer.statistics
        samples = "" if seen is None else f" on up to {counted(int(seen.nonfinite.max(initial=0)), 'sample')}"
        showed = f"{len(layer.nonfinite):,} of {counted(layer.units, 'unit')} showed NaN or infinity{samples}"
        yield kind.of_layer(
            layer,
            f"{showed}{first_of(broken, layer)}.",
            layer.nonfinite,
        )


KIND = FindingKind("DU002", "nonfinite", Severity.ERROR, find, __name__, in_audit=True)
