"""What the reports of an audit, of a prune, of a check and of a revival are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.facts.audit import AuditFacts
from analyzer.facts.checked import CheckFacts
from analyzer.facts.fed import Fed, WitnessPicture
from analyzer.facts.picture import GraphPicture
from analyzer.facts.pruned import PrunedFacts
from analyzer.facts.revived import RevivedFacts


@dataclass(frozen=True)
class AuditReport:
    """An audit, and how the network is drawn, what it was fed and what moves dead units, where a format shows it."""

    audit: AuditFacts
    draw: Callable[[], GraphPicture]
    fed: Callable[[], Fed] = Fed
    witnesses: Callable[[], tuple[WitnessPicture, ...]] = tuple


@dataclass(frozen=True, kw_only=True)
class PruneReport(AuditReport):
    """The same, with what a prune changed."""

    pruned: PrunedFacts


@dataclass(frozen=True, kw_only=True)
class CheckReport(AuditReport):
    """The same, with what a check found."""

    checked: CheckFacts


@dataclass(frozen=True)
class ReviveReport:
    """An audit, and what became of its dead units."""

    audit: AuditFacts
    revived: RevivedFacts
