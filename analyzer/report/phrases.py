"""Names and findings as a person reads them, in a terminal of any width."""

from __future__ import annotations

from analyzer.facts.findings import About, Finding
from analyzer.facts.wording import unit_ranges


def shortened(name: str, width: int) -> str:
    """A printable name of at most `width` characters, cut in the middle: exporters differ at both ends."""
    clean = printable(name)
    if len(clean) <= width:
        return clean
    keep = max(width - 1, 2)
    head = keep // 3
    return f"{clean[:head]}…{clean[len(clean) - (keep - head) :]}"


def printable(text: str) -> str:
    """Without control characters, so that a name from a file cannot steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def bar(ratio: float, width: int, *, blocks: bool = True) -> str:
    """A bar of `width` cells that is empty only for nothing and full only for everything."""
    filled = min(max(round(ratio * width), 1 if ratio > 0 else 0), width if ratio >= 1 else width - 1)
    full, empty = ("█", "░") if blocks else ("#", ".")
    return full * filled + empty * (width - filled)


def units_of(finding: Finding) -> str:
    """`units 0-3, 7`, or nothing."""
    if not finding.units:
        return ""
    noun = "feature" if finding.about is About.INPUT else "unit"
    return f"{noun}{'s' if len(finding.units) > 1 else ''} {unit_ranges(finding.units)}"


def named(finding: Finding) -> str:
    """The finding in plain text, printable, with the name that it is about."""
    return printable(f"{finding.value}: {finding.message}" if finding.value else finding.message)


def sentence(finding: Finding) -> str:
    """The same with its units."""
    return f"{named(finding).removesuffix('.')} ({units_of(finding)})." if finding.units else named(finding)
