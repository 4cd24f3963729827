"""What the page's scripts read: names and numbers as plain JSON, beside the packed arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analyzer.facts.audit import AuditFacts, LayerVerdicts, Locked
from analyzer.facts.causes import SUMMARIES, LayerDiagnosis
from analyzer.facts.evidence import Evidence
from analyzer.facts.picture import GraphPicture, PictureNode
from analyzer.facts.units import Kind
from analyzer.facts.wording import share, unit_ranges
from analyzer.report.html.layout import place
from analyzer.report.html.packed import BINS, Packed
from analyzer.report.phrases import domain_stated, printable


def payload(facts: AuditFacts, picture: GraphPicture, packed: Packed) -> dict[str, Any]:
    """Everything but the packed text, ready for JSON: no NaN, no control character."""
    worst = most_affected(facts)
    diagnoses = {diagnosis.value: diagnosis for diagnosis in facts.diagnoses}
    locked: dict[str, list[Locked]] = {}
    for entry in facts.locked:
        locked.setdefault(entry.value, []).append(entry)
    position = {layer.value: index for index, layer in enumerate(facts.layers)}
    return {
        "arrays": packed.index,
        "bins": BINS,
        "samples": 0 if facts.probe is None else facts.probe.samples,
        "domain": "" if facts.proof is None else domain_stated(facts.proof.domain),
        "worst": -1 if worst is None else position[worst.value],
        "layers": [
            _layer(layer, offset, locked.get(layer.value, []), diagnoses.get(layer.value))
            for layer, offset in zip(facts.layers, packed.offsets, strict=True)
        ],
        "causes": {str(code): text for code, text in SUMMARIES.items()},
        "graph": _graph(picture, position),
    }


def most_affected(facts: AuditFacts) -> LayerVerdicts | None:
    """The layer with the largest share of dead units; None where no unit is dead."""
    layers = [layer for layer in facts.layers if layer.dead]
    return max(layers, key=lambda layer: (layer.dead_share, layer.units), default=None)


def causes(facts: AuditFacts) -> dict[int, dict[int, list[str | None]]]:
    """Per layer and unit the cause's code, its sentence and its root: long, so the page reads it last."""
    position = {layer.value: index for index, layer in enumerate(facts.layers)}
    return {
        position[diagnosis.value]: {
            cause.unit: [str(cause.code), printable(cause.detail), _root(cause.root)] for cause in diagnosis.causes
        }
        for diagnosis in facts.diagnoses
        if diagnosis.value in position
    }


def _layer(
    layer: LayerVerdicts,
    offset: int,
    locked: Sequence[Locked],
    diagnosis: LayerDiagnosis | None,
) -> dict[str, Any]:
    audited = layer.audited
    shown: dict[str, Any] = {
        "value": printable(layer.value),
        "module": printable(audited.module),
        "node": printable(audited.node),
        "op": printable(audited.op),
        "kind": str(audited.kind),
        "axis": audited.axis,
        "units": layer.units,
        "offset": offset,
        "samples": layer.samples,
        "bound": _bound(layer),
        "dead": len(layer.dead),
        "constant": len(layer.constant),
        "near": len(layer.near_dead),
        "saturated": len(layer.saturated),
        "on": len(layer.always_on),
        "nonfinite": len(layer.nonfinite),
        "structural": len(layer.structural),
        "proven": len(layer.proven),
        "refuted": len(layer.refuted),
        "revived": None if layer.revived is None else len(layer.revived),
    }
    if layer.constant:
        shown["values"] = {unit: _finite(layer.stays_at[unit]) for unit in layer.constant}
    if locked:
        shown["locked"] = [
            {"units": list(e.units), "range": unit_ranges(e.units), "reason": e.reason, "detail": printable(e.detail)}
            for e in locked
        ]
    if diagnosis is not None:
        shown["diagnosis"] = _diagnosis(diagnosis)
    return shown


def _bound(layer: LayerVerdicts) -> str | None:
    return share(layer.firing_bound) if layer.dead_by(Evidence.OBSERVED) and layer.firing_bound is not None else None


def _diagnosis(diagnosis: LayerDiagnosis) -> dict[str, Any]:
    return {
        "counts": [[str(code), count] for code, count in diagnosis.counts().items()],
        "remedy": [printable(sentence) for sentence in diagnosis.remedy],
    }


def _root(root: tuple[str, int] | None) -> str | None:
    return None if root is None else f"unit {root[1]} of {printable(root[0])}"


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _graph(picture: GraphPicture, position: Mapping[str, int]) -> dict[str, Any]:
    placed = place(picture)
    return {
        "whole": picture.whole,
        "nodes": [
            [round(x, 1), round(y, 1), str(node.role), _label(node), position.get(node.value, -1)]
            for node, (x, y) in zip(picture.nodes, placed.boxes, strict=True)
        ],
        "edges": [
            [a, b, *(round(c, 1) for point in bends for c in point)]
            for (a, b), bends in zip(picture.edges, placed.bends, strict=True)
        ],
    }


def _label(node: PictureNode) -> str:
    return printable(" \N{RIGHTWARDS ARROW} ".join(node.ops) or node.name)


def activity_word(kinds: set[Kind]) -> str:
    """What "active" means for the layers of the picture over depth."""
    if kinds <= {Kind.SATURATING, Kind.LINEAR}:
        return "is outside the flat region of its activation"
    if Kind.SATURATING in kinds:
        return "fires (for sigmoid and tanh: is outside the flat region)"
    return "fires"
