"""A prune as JSON, by the schema `deadunits.prune/1`: the audit's document, and what was cut, compared and measured."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from analyzer.facts.audit import AuditFacts
from analyzer.facts.pruned import Comparison, Latency, OutputDifference, PrunedFacts
from analyzer.report.json import schema as audit_schema
from analyzer.report.json import to_dict as audit_dict

SCHEMA = "deadunits.prune/1"


def schema() -> dict[str, Any]:
    """The JSON Schema that every report of this version satisfies: the audit's, and what comes on top."""
    text = files("analyzer.report").joinpath("schema", "prune.schema.json").read_text(encoding="utf-8")
    own: dict[str, Any] = json.loads(text)
    audit = audit_schema()
    properties = {**audit["properties"], **own["properties"]}
    definitions = {**audit.get("$defs", {}), **own.get("$defs", {})}
    return {**own, "required": [*audit["required"], *own["required"]], "properties": properties, "$defs": definitions}


def to_text(audit: AuditFacts, pruned: PrunedFacts) -> str:
    """The report as a JSON document that ends in a newline."""
    return json.dumps(to_dict(audit, pruned), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_dict(audit: AuditFacts, pruned: PrunedFacts) -> dict[str, Any]:
    """The report as plain dicts, lists, numbers and strings; an infinite difference is null."""
    compared = None if pruned.comparison is None else _comparison(pruned.comparison)
    if compared is not None:
        compared["holdout"] = None if pruned.holdout is None else _comparison(pruned.holdout)
        compared["perturbed"] = None if pruned.perturbed is None else _comparison(pruned.perturbed)
    return {
        **audit_dict(audit),
        "schema": SCHEMA,
        "changed": pruned.changed,
        "before": asdict(pruned.before),
        "after": asdict(pruned.after),
        "comparison": compared,
        "latency": None if pruned.latency is None else _latency(pruned.latency),
        "refused": [asdict(refused) for refused in pruned.refused],
        "removed_units": {value: list(units) for value, units in pruned.removed_units.items()},
        "lossy_units": {value: list(units) for value, units in pruned.lossy_units.items()},
        "removed_relus": list(pruned.removed_relus),
        "observed": pruned.observed,
        "notes": list(pruned.notes),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "source": found.source,
        "samples": found.samples,
        "max_abs_difference": _finite(found.max_abs_difference),
        "max_relative_difference": _finite(found.max_relative_difference),
        "tolerance": found.tolerance,
        "within": found.within,
        "outputs": [_output(output) for output in found.outputs],
    }


def _output(output: OutputDifference) -> dict[str, Any]:
    return {
        "name": output.name,
        "max_abs_difference": _finite(output.absolute),
        "max_relative_difference": _finite(output.relative),
        "scale": _finite(output.scale),
        "tolerance": output.tolerance,
        "top1_agreement": output.top1,
    }


def _latency(found: Latency) -> dict[str, Any]:
    return {**asdict(found), "verdict": found.verdict}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
