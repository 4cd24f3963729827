"""The page as a whole: templates filled with the audit, styles, scripts and libraries in one file.

Names come from a model that may mean harm. Jinja escapes every one of them, scripts put them into the page as text
only, and a Content-Security-Policy lets nothing run but our own scripts (by their hashes) and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from analyzer.facts.audit import AuditFacts
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.evidence import Evidence
from analyzer.facts.fed import Fed
from analyzer.facts.health import health_of
from analyzer.facts.model_report import AuditReport, PruneReport
from analyzer.facts.picture import GraphPicture
from analyzer.facts.pruned import PrunedFacts
from analyzer.facts.wording import counted, number, share, size, unchanged_outputs
from analyzer.report.html.lock_reasons import reasons_of
from analyzer.report.html.packed import activity, pack, zipped
from analyzer.report.html.payload import activity_word, causes, most_affected, payload
from analyzer.report.phrases import (
    because,
    computed_by,
    dims,
    full_name,
    named,
    not_finite,
    preprocessed,
    printable,
    samples_fed,
    shortened,
    units_per_value,
)
from analyzer.version import __version__

if TYPE_CHECKING:
    import jinja2

LIBRARIES = ("echarts.min.js", "cytoscape.min.js")
SCRIPTS = (
    "words.js",
    "data.js",
    "look.js",
    "choice.js",
    "table.js",
    "network.js",
    "depth.js",
    "layer.js",
    "units.js",
    "start.js",
)
_COLUMNS = ("near_dead", "saturated", "always_on", "nonfinite", "revived")
TENSORS_SHOWN = 200
ROWS_SHOWN = 200  # the other layers are shown as the table is scrolled


def to_text(report: AuditReport) -> str:
    """The audit as one HTML page, with what a prune changed where there was one."""
    pruned = report.pruned if isinstance(report, PruneReport) else None
    return render_html(report.audit, report.draw(), pruned, report.fed())


def render_html(
    facts: AuditFacts, graph: GraphPicture, pruned: PrunedFacts | None = None, fed: Fed | None = None
) -> str:
    """The audit as one HTML page; `pruned` adds what a prune changed, `fed` a look at the first samples.

    Everything is inside: the page asks the network for nothing. About 1.7 MB and 8 bytes per unit.
    """
    packed = pack(facts)
    data = payload(facts, graph, packed)
    libraries = [_resource("vendor", name) for name in LIBRARIES]
    script = "(async () => {\n'use strict';\n" + "\n".join(_resource("static", name) for name in SCRIPTS) + "\n})();"
    scripts = [*libraries, script]
    template = environment().get_template("page.html.j2")
    return template.render(
        facts=facts,
        version=__version__,
        style=_resource("static", "report.css"),
        scripts=scripts,
        script_hashes=[_hash(text) for text in scripts],
        whole_graph=graph.whole,
        numbers=zipped(packed.data),
        names=_as_text(data),
        causes=_as_text(causes(facts)),
        rows_shown=ROWS_SHOWN,
        pruned=pruned,
        pictures=[base64.b64encode(picture).decode() for picture in (fed or Fed()).pictures],
        first_rows=(fed or Fed()).rows,
        **_derived(facts),
    )


@cache
def environment() -> jinja2.Environment:
    """Templates of the package: everything is escaped unless a template says otherwise."""
    import jinja2  # here, so that a plain audit does not wait for it

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("analyzer.report.html", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "number": number,
        "share": share,
        "size": size,
        "counted": counted,
        "printable": printable,
        "full_name": full_name,
        "because": because,
        "preprocessed": preprocessed,
        "computed_by": computed_by,
        "samples_fed": samples_fed,
        "named": named,
        "not_finite": not_finite,
        "milliseconds": _milliseconds,
        "short": lambda value: f"{value:.3g}" if math.isfinite(value) else "not finite",
        "shortened": shortened,
        "dims": dims,
    }
    templates.globals |= {"number": number, "size": size, "milliseconds": _milliseconds}
    return templates


def _as_text(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return zipped(text.encode("utf-8", "replace"))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


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
        "unchanged": unchanged_outputs(observed=bool(facts.dead_by(Evidence.OBSERVED))),
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


@cache
def _resource(folder: str, name: str) -> str:
    """A packaged file as it must stand inside an element: no script of ours may hold the text that would end it."""
    text = files("analyzer.report.html").joinpath(folder, name).read_text(encoding="utf-8")
    assert "</script" not in text.lower(), name
    assert "</style" not in text.lower(), name
    return text


def _hash(text: str) -> str:
    # What the browser hashes has its line ends normalised.
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return "sha256-" + base64.b64encode(hashlib.sha256(normal.encode("utf-8")).digest()).decode("ascii")
