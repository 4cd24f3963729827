"""What the reports of an audit and of a prune are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.facts.audit import AuditFacts
from analyzer.facts.picture import GraphPicture
from analyzer.facts.pruned import PrunedFacts


@dataclass(frozen=True)
class AuditReport:
    """An audit, and how the network is drawn where a format shows it."""

    audit: AuditFacts
    draw: Callable[[], GraphPicture]


@dataclass(frozen=True)
class PruneReport(AuditReport):
    """The same, with what a prune changed."""

    pruned: PrunedFacts
