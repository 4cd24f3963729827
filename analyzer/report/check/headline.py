"""The sentences that several formats share."""

from __future__ import annotations

from analyzer.facts.baseline import BaselineComparison, LayerChange
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Severity
from analyzer.facts.wording import counted, number, share
from analyzer.report.phrases import not_finite, over_domain, printable, samples_fed


def verdict(facts: CheckFacts) -> str:
    """`FAILED: 2 errors, 1 warning` or `passed: 1 note`."""
    return f"{'passed' if facts.passed else 'FAILED'}: {counts(facts)}"


def counts(facts: CheckFacts) -> str:
    """`2 errors, 1 warning`."""
    parts = [counted(number_found, str(level)) for level in Severity if (number_found := facts.count(level))]
    return ", ".join(parts) or "nothing found"


def totals(facts: CheckFacts) -> str:
    """How much is dead, what could go, and how much was looked at."""
    audit = facts.audit
    doubt = not_finite(audit)
    return (
        f"{number(audit.dead)} of {counted(audit.units, 'unit')} dead ({share(audit.dead, audit.units)}), "
        f"{f'{doubt}, ' if doubt else ''}"
        f"{share(audit.removable.parameters_share)} of {counted(audit.model.parameters, 'parameter')} can go; "
        f"judged: {audit.judged.shares}{f'; {held}' if (held := over_domain(audit)) else ''}"
    )


def data(facts: CheckFacts) -> str:
    """What the model was run on."""
    probe = facts.audit.probe
    if probe is None:
        return "no probe: only the weights were looked at"
    return f"{printable(probe.source)}, {samples_fed(probe)}{' of RANDOM DATA' if probe.random else ''}"


def against(comparison: BaselineComparison) -> list[str]:
    """What became of the baseline's units, in sentences; the baseline's name is left to the format."""
    then = f"{number(comparison.dead_then)} of {counted(comparison.units_then, 'unit')} were dead then"
    died, back = number(_count(comparison.newly_dead)), number(_count(comparison.revived))
    lines = [f"{then}; newly dead: {died}, alive again: {back}."]
    if not comparison.same_probe:
        lines.append("The baseline was made on other data: what changed may be the data.")
    if comparison.by_order:
        lines.append(f"{counted(len(comparison.by_order), 'layer')} with a new name matched by place, kind and width.")
    return lines


def _count(changes: tuple[LayerChange, ...]) -> int:
    return sum(len(change.units) for change in changes)
