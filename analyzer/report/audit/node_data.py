"""An audit as node data of Model Explorer: the share of dead units per node, as that viewer colours nodes.

The form is that of `GraphNodeData` in its package `ai-edge-model-explorer`; nodes are found by their names.
"""

from __future__ import annotations

from msgspec import Struct

from analyzer.facts.model_report import AuditReport
from analyzer.report.documents import text_of


class Result(Struct, frozen=True):
    """What is said of one node."""

    value: float


class Stop(Struct, frozen=True):
    """A colour, and the place between the smallest and the largest value at which it stands."""

    stop: float
    bgColor: str  # noqa: N815  the viewer's name


class Document(Struct, frozen=True):
    """Values by the names of nodes."""

    name: str
    results: dict[str, Result]
    gradient: tuple[Stop, ...]


def to_text(report: AuditReport) -> str:
    """The node data as JSON; of several layers that one node makes, the largest share counts."""
    results: dict[str, Result] = {}
    for layer in report.audit.layers:
        node = layer.audited.node
        before = results.get(node)
        results[node] = Result(max(round(layer.dead_share, 6), 0.0 if before is None else before.value))
    gradient = (Stop(0.0, "#eef1f4"), Stop(1.0, "#e0523f"))
    return text_of(Document("dead units (share)", results, gradient))
