"""The page of an audit, and of what is made of one: templates filled with what was found."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from analyzer.facts.audit import AuditFacts
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.checked import CheckFacts
from analyzer.facts.evidence import Evidence
from analyzer.facts.fed import Fed, WitnessPicture
from analyzer.facts.health import health_of
from analyzer.facts.model_report import AuditReport, CheckReport, PruneReport
from analyzer.facts.picture import GraphPicture
from analyzer.facts.pruned import PrunedFacts
from analyzer.report.html.check_section import section_of
from analyzer.report.html.document import as_text, document
from analyzer.report.html.lock_reasons import reasons_of
from analyzer.report.html.packed import activity, pack, zipped
from analyzer.report.html.payload import activity_word, causes, most_affected, payload
from analyzer.report.phrases import domain_stated, remarks, unchanged, units_per_value
from analyzer.report.prune.worth import holds_for, loss, verdict

LIBRARIES = ("echarts.min.js", "cytoscape.min.js")
SCRIPTS = (
    "data.js",
    "choice.js",
    "table.js",
    "network.js",
    "depth.js",
    "layer.js",
    "units.js",
    "start.js",
)
_COLUMNS = ("proven", "refuted", "near_dead", "saturated", "always_on", "nonfinite", "revived")
TENSORS_SHOWN = 200
ROWS_SHOWN = 200  # the other layers are shown as the table is scrolled


def to_text(report: AuditReport) -> str:
    """The audit as one HTML page, with what a prune changed where there was one."""
    pruned = report.pruned if isinstance(report, PruneReport) else None
    checked = report.checked if isinstance(report, CheckReport) else None
    return render_html(report.audit, report.draw(), pruned, report.fed(), checked, report.witnesses())


def render_html(
    facts: AuditFacts,
    graph: GraphPicture,
    pruned: PrunedFacts | None = None,
    fed: Fed | None = None,
    checked: CheckFacts | None = None,
    witnesses: Sequence[WitnessPicture] = (),
) -> str:
    """The audit as one HTML page.

    `pruned` adds what a prune changed, `fed` a look at the first samples, `checked` opens it with what a check found,
    `witnesses` are inputs of the domain that move dead units.

    Everything is inside: the page asks the network for nothing. About 1.7 MB and 8 bytes per unit.
    """
    packed = pack(facts)
    return document(
        "audit.html.j2",
        SCRIPTS,
        {
            "names": as_text(payload(facts, graph, packed)),
            "causes": as_text(causes(facts)),
            "numbers": zipped(packed.data),
        },
        LIBRARIES,
        facts=facts,
        whole_graph=graph.whole,
        rows_shown=ROWS_SHOWN,
        pruned=pruned,
        worth=None if pruned is None else verdict(facts, pruned),
        loss="" if pruned is None else loss(pruned),
        holds_for="" if pruned is None else holds_for(facts, pruned),
        check=None if checked is None else section_of(checked),
        pictures=[base64.b64encode(picture).decode() for picture in (fed or Fed()).pictures],
        first_rows=(fed or Fed()).rows,
        witnesses=[(base64.b64encode(w.picture).decode(), w) for w in witnesses],
        domain="" if facts.proof is None else domain_stated(facts.proof.domain),
        remarks=remarks(facts.proof),
        **_derived(facts),
    )


def _derived(facts: AuditFacts) -> dict[str, Any]:
    """Sums and choices that the templates should not have to make."""
    layers = facts.layers
    structural = facts.dead_by(Evidence.STRUCTURAL)
    tensors = facts.removable.largest_first
    columns = [name for name in _COLUMNS if any(getattr(layer, name) for layer in layers)]
    active = {layer.audited.kind for layer in facts.layers if activity(layer) is not None}
    return {
        **{name: sum(len(getattr(layer, name) or ()) for layer in layers) for name in ("constant", *_COLUMNS)},
        "health": health_of(facts),
        "structural": structural,
        "observed": facts.dead_by(Evidence.OBSERVED),
        "unchanged": unchanged(facts),
        "with_dead": sum(bool(layer.dead) for layer in layers),
        "whole_dead": sum(bool(layer.units) and len(layer.dead) == layer.units for layer in layers),
        "bound": max((layer.firing_bound or 0.0 for layer in layers), default=0.0),
        "confidence": CONFIDENCE,
        "worst": most_affected(facts),
        "columns": columns,
        "shown_columns": [name for name in columns if name != "always_on"],  # the table has little room
        "pane": min(max(130 + 28 * len(facts.layers), 320), 560),
        "locked_units": units_per_value(facts.locked),
        "reasons": reasons_of(facts),
        "tensors": tensors[:TENSORS_SHOWN],
        "more_tensors": max(len(tensors) - TENSORS_SHOWN, 0),
        "active_word": activity_word(active),
        "has_activity": bool(active),
        "linear": sum(activity(layer) is None for layer in facts.layers),
        "position": {layer.value: index for index, layer in enumerate(facts.layers)},
    }
