"""What a check adds to the page of its audit: whether it passed, what was found and what to do, budgets, baseline."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markdown_it import MarkdownIt

from analyzer.facts.baseline import BaselineComparison
from analyzer.facts.checked import CheckFacts, FindingCard
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import unit_ranges
from analyzer.report.check.headline import against, counts, totals
from analyzer.report.phrases import full_name

SHOWN = 8  # findings of one code; the others are folded in
RANGES_SHOWN = 60  # pieces of a list of units
_PARTS = ("What it means", "Why it matters", "What to do")


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """All findings of one code, and the parts of the code's page as HTML, by their headings."""

    card: FindingCard
    severity: Severity
    findings: tuple[Finding, ...]
    page: dict[str, str]

    @property
    def first(self) -> tuple[Finding, ...]:
        """Those that are seen at once."""
        return self.findings[:SHOWN]

    @property
    def rest(self) -> tuple[Finding, ...]:
        """The others."""
        return self.findings[SHOWN:]


@dataclass(frozen=True, slots=True)
class CheckSection:
    """The part of the page that is the check's; `changes` has the layer, the word and the units of each change."""

    facts: CheckFacts
    counts: str
    totals: str
    groups: tuple[FindingGroup, ...]
    off: tuple[str, ...]
    against: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]
    without_partner: tuple[tuple[str, str], ...]


def section_of(facts: CheckFacts) -> CheckSection:
    """What the template needs of a check."""
    compared = facts.comparison
    return CheckSection(
        facts,
        counts(facts),
        totals(facts),
        tuple(_groups(facts)),
        tuple(f"{card.code} {card.name}" for card in facts.kinds if card.severity is Severity.OFF),
        () if compared is None else tuple(against(compared)),
        () if compared is None else tuple(_changes(compared)),
        () if compared is None else tuple(_without_partner(compared)),
    )


def _groups(facts: CheckFacts) -> Iterable[FindingGroup]:
    cards = {card.code: card for card in facts.kinds}
    for code in dict.fromkeys(finding.code for finding in facts.findings):  # most severe first
        findings = tuple(finding for finding in facts.findings if finding.code == code)
        yield FindingGroup(cards[code], findings[0].severity, findings, parts_of(cards[code].page))


def parts_of(page: str) -> dict[str, str]:
    """The parts of a finding's page that a reader of the report needs, as HTML. What a page links to is only named."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", page)
    parts = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    return {name: MarkdownIt("commonmark", {"html": False}).render(parts[name]) for name in _PARTS if name in parts}


def _changes(compared: BaselineComparison) -> Iterable[tuple[str, str, str]]:
    for word, changes in (("newly dead", compared.newly_dead), ("alive again", compared.revived)):
        for change in changes:
            yield full_name(change.value, change.module), word, unit_ranges(change.units, RANGES_SHOWN)


def _without_partner(compared: BaselineComparison) -> Iterable[tuple[str, str]]:
    """Layers that the comparison says nothing about, and why."""
    yield from ((value, "has another number of units") for value in compared.resized)
    yield from ((value, "is new") for value in compared.only_now)
    yield from ((value, "is gone") for value in compared.only_then)
