"""A check for a person at a terminal: the verdict, the findings, what became of the baseline, where to read on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.checked import CheckFacts
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.model_report import CheckReport
from analyzer.facts.wording import counted, unit_ranges
from analyzer.report.check.headline import against, data, totals, verdict
from analyzer.report.console import QUIET, indented, plain, put
from analyzer.report.phrases import cut_names, printable, shortened, units_of

SHOWN = 6  # findings of one code
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def to_text(report: CheckReport) -> str:
    """The report without colours, for a file."""
    return plain(lambda console: render(report.checked, console))


def render(facts: CheckFacts, console: Console, *, show_all: bool = False) -> None:
    """Print the report; `show_all` lists every finding of a code."""
    put(console, *_parts(facts, console.width, show_all=show_all))


def name(text: str) -> str:
    """A name from a file, printable, and no word of it a command (`::…`) to a build service that reads the log."""
    return re.sub(r"(^|\s)::", r"\1: :", printable(text))


def _parts(facts: CheckFacts, width: int, *, show_all: bool) -> Iterator[RenderableType]:
    style = "bold green" if facts.passed else "bold red"
    yield Text.assemble((verdict(facts), style))
    yield Text(f"model: {name(shortened(facts.audit.model.path, max(width - 7, 24)))}", QUIET)
    yield indented(f"probe: {name(data(facts))}", QUIET, by=0, hang=7)
    yield Text(totals(facts), QUIET)
    cards = {card.code: card for card in facts.kinds}
    for code in dict.fromkeys(finding.code for finding in facts.findings):  # most severe first
        card = cards[code]
        findings = [finding for finding in facts.findings if finding.code == code]
        worst = findings[0].severity
        yield Text()
        yield indented(
            Text.assemble((f"{worst} ", _STYLES[worst]), (f"{card.code} {card.name}", "bold"), f": {card.title}"), by=0
        )
        shown = findings if show_all else findings[:SHOWN]
        names = cut_names(((finding.value, finding.module) for finding in shown), width - 6)
        for finding in shown:
            yield _entry(finding, names[finding.value, finding.module])
        if len(findings) > len(shown):
            yield indented(f"and {len(findings) - len(shown)} more (--all)", QUIET)
    if facts.comparison is not None:
        yield from _baseline(facts.comparison, width)
    off = [card.code for card in facts.kinds if card.severity is Severity.OFF]
    if off:
        yield Text(f"\nturned off: {', '.join(off)}", QUIET)
    if facts.findings:
        yield Text.assemble(
            "\nWhy it matters and what to do: ", (f"deadunits explain {facts.findings[0].code}", "cyan")
        )


def _entry(finding: Finding, value: str) -> RenderableType:
    text = Text("- ")
    if finding.value:
        text.append(f"{name(value)}  ", "bold")
    text.append(name(finding.message))
    if finding.units:
        text.append(f"  {units_of(finding)}", QUIET)
    return indented(text)


def _baseline(comparison: BaselineComparison, width: int) -> Iterator[RenderableType]:
    yield Text.assemble(("\nAgainst ", "bold"), name(shortened(comparison.source, width - 8)))
    for line in against(comparison):
        yield indented(line)
    shown = comparison.revived[:SHOWN]
    names = cut_names(((change.value, change.module) for change in shown), width - 6)
    for change in shown:
        again = f"- {name(names[change.value, change.module])}  alive again: {unit_ranges(change.units)}"
        yield indented(again, "green")
    if len(comparison.revived) > SHOWN:
        yield indented(f"and {counted(len(comparison.revived) - SHOWN, 'more layer')}", QUIET)
