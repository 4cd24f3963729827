"""Numbers and names as a person reads them, in a terminal of any width."""

from __future__ import annotations

from analyzer.facts.findings import About, Finding
from analyzer.facts.units import unit_ranges

_STEPS = (("T", 1e12), ("G", 1e9), ("M", 1e6))


def number(count: int) -> str:
    """`52,650`, and from a million on `25.6 M`."""
    for unit, size in _STEPS:
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def size(count: int) -> str:
    """Bytes: `412 B`, `52.7 kB`, `97.8 MB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count} B"


def share(part: float, whole: float = 1.0) -> str:
    """A percentage that is `0 %` only when nothing is there, and `100 %` only when everything is."""
    if not whole or not part:
        return "0 %"
    ratio = part / whole
    if ratio < 0.001:
        return "< 0.1 %"
    if 0.999 < ratio < 1:
        return "> 99.9 %"
    return f"{ratio * 100:.3g} %" if ratio < 0.1 else f"{ratio * 100:.1f} %".replace(".0 %", " %")


def counted(count: int, noun: str) -> str:
    """`1 unit`, `12 units`."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


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
