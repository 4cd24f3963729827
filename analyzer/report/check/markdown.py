"""A check as GitHub-flavoured Markdown, for a pull request or a job summary."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Severity
from analyzer.facts.health import health_of
from analyzer.facts.model_report import CheckReport
from analyzer.facts.wording import counted, unit_ranges
from analyzer.report.check.headline import against, totals, verdict
from analyzer.report.phrases import because, full_name, printable, samples_fed, units_of

SHOWN = 100  # rows; a comment on GitHub holds 65,536 characters
_MARKS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.NOTE: "💡"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def to_text(report: CheckReport) -> str:
    """The report as Markdown that ends in a newline."""
    return "\n".join(_lines(report.checked)) + "\n"


def code(name: str) -> str:
    """A name from a file as a code span, which nothing inside it can end, also within a table.

    In a code span names are no links, no mentions of people and no HTML.
    """
    text = printable(name).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def plain(text: str) -> str:
    """Our own words, with everything escaped that Markdown would take for a mark."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def _lines(facts: CheckFacts) -> Iterator[str]:
    audit = facts.audit
    yield f"### {'✅' if facts.passed else '❌'} deadunits check {plain(verdict(facts))}"
    health = health_of(audit)
    yield ""
    yield f"**{health.verdict}**: {plain(because(health))} Next: {plain(health.next_step.advice)}."
    yield ""
    probe = "no probe" if audit.probe is None else f"{code(audit.probe.source)}, {samples_fed(audit.probe)}"
    random = " of **random data**" if audit.probe is not None and audit.probe.random else ""
    yield f"{code(audit.model.path)} on {probe}{random}: {plain(totals(facts))}."
    if facts.findings:
        yield ""
        yield "| | finding | where | |"
        yield "|---|---|---|---|"
        for finding in facts.findings[:SHOWN]:
            where = code(finding.value) if finding.value else str(finding.about)
            where = f"{code(finding.module)}<br>{where}" if finding.module else where
            units = f"<br>{units_of(finding)}" if finding.units else ""
            mark = f"{_MARKS[finding.severity]} {finding.severity}"
            yield f"| {mark} | {finding.code} {finding.name} | {where} | {plain(finding.message)}{units} |"
        if len(facts.findings) > SHOWN:
            yield ""
            yield f"and {counted(len(facts.findings) - SHOWN, 'more finding')}."
    if facts.comparison is not None:
        yield from _baseline(facts.comparison)
    if facts.findings:
        yield ""
        yield f"What a finding means and what to do: `deadunits explain {facts.findings[0].code}`."


def _baseline(comparison: BaselineComparison) -> Iterator[str]:
    yield ""
    yield f"Against {code(comparison.source)}: {' '.join(plain(line) for line in against(comparison))}"
    if comparison.revived:
        yield ""
        yield from (
            f"- {code(full_name(change.value, change.module))}: alive again: {unit_ranges(change.units)}"
            for change in comparison.revived
        )
