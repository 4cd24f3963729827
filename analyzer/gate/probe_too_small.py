"""The probe is too small.

What it means
    With so few samples hardly anything follows from a unit having stayed silent.

Why it matters
    A gate that passes on ten samples has not looked. A unit that was silent on N samples may still fire on a share
    of up to 1 - 0.05^(1/N) of inputs: 26 % for 10 samples, 5 % for 59, 1 % for 299.

What to do
    Give more samples that are drawn like the data in deployment, thousands where you can. State what you need with
    `--min-samples`: then fewer are an error and not a warning.

Evidence
    Counted. The bound is the one-sided 95 % Clopper-Pearson bound. Without `--min-samples`, fewer than 59 samples
    are told.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.bound import firing_bound_of
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding."""
    samples, enough = situation.samples, situation.enough_samples
    if situation.audit.probe is None or samples >= enough:
        return
    asked = situation.budgets.min_samples is not None
    bound = 100 * firing_bound_of(0, samples) if samples else 100.0
    wanted = "the budget asks for" if asked else "give at least"
    yield kind.finding(
        f"The probe has {counted(samples, 'sample')}, {wanted} {enough:,}: "
        f"a unit that was silent on it may still fire on up to {bound:.0f} % of inputs.",
        About.PROBE,
        severity=Severity.ERROR if asked else kind.severity,
        measured=samples,
        allowed=enough,
    )


KIND = FindingKind("DU007", "probe-too-small", Severity.WARNING, find, __name__, in_audit=True)
