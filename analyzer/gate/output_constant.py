"""An output does not change.

What it means
    An output of the model, or some units of it, was one and the same constant on every sample of the probe. Where a
    Softmax or another function of the same shape is the last operation, the units before it are meant.

Why it matters
    The caller gets an answer that has nothing to do with the input: a class that is never chosen or always equally
    likely, a detector that is stuck.

What to do
    Check the preprocessing of the probe first. Then check that the probe contains what the output is about: an
    output for an event that does not occur in the probe may rightly be silent, which `expect-dead` says for good.
    Otherwise look at the last layers with `deadunits explain`.

Evidence
    Seen on all samples of the probe (at least two), or decided by the weights alone. Outputs that no input leads to
    (stored anchors, constants) are not told.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per output of which something is constant."""
    for port in situation.audit.constant_outputs:
        if situation.samples < 2 and not port.structural:
            continue
        expected = situation.expected(port.name)
        units = () if expected is None else tuple(unit for unit in port.indices if unit not in expected)
        if not units:
            continue
        when = "whatever the data" if port.structural else f"on all {counted(situation.samples, 'sample')}"
        what = (
            "The whole output is constant"
            if port.axis is None and len(units) >= port.units
            else f"{len(units):,} of {counted(port.units, 'output unit')} never change{'s' if len(units) == 1 else ''}"
        )
        yield kind.finding(
            f"{what} {when}.", About.OUTPUT, value=port.name, units=units, measured=len(units) / max(port.units, 1)
        )


KIND = FindingKind("DU005", "output-constant", Severity.ERROR, find, __name__, in_audit=True)
