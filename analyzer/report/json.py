"""An audit as JSON, by the schema `deadunits.audit/1` (schema/audit.schema.json); only ever added to."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from analyzer.facts.audit import AuditFacts, Evidence, LayerVerdicts, ProbeSummary, TensorPlan
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.findings import Finding
from analyzer.facts.model_io import ConstantOutput, UnusedInput
from analyzer.version import __version__

SCHEMA = "deadunits.audit/1"


def schema() -> dict[str, Any]:
    """The JSON Schema that every report of this version satisfies."""
    text = files("analyzer.report").joinpath("schema", "audit.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_text(facts: AuditFacts) -> str:
    """The report as a JSON document that ends in a newline."""
    return json.dumps(to_dict(facts), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_dict(facts: AuditFacts) -> dict[str, Any]:
    """The report as plain dicts, lists, numbers and strings."""
    model, removable = facts.model, facts.removable
    causes = {diagnosis.value: diagnosis for diagnosis in facts.diagnoses}
    return {
        "schema": SCHEMA,
        "tool": {"name": "deadunits", "version": __version__},
        "model": asdict(model),
        "probe": _probe(facts.probe),
        "holdout": _probe(facts.holdout),
        "thresholds": asdict(facts.thresholds),
        "totals": {"units": facts.units, "dead": facts.dead},
        "layers": [_layer(layer) | _why(causes.get(layer.value)) for layer in facts.layers],
        "removable": {
            "parameters": removable.parameters,
            "parameters_share": removable.parameters_share,
            "multiply_adds": removable.multiply_adds,
            "multiply_adds_share": removable.multiply_adds_share,
            "tensors": [_tensor(tensor) for tensor in removable.tensors],
        },
        "locked": [
            {
                "value": locked.value,
                "units": list(locked.units),
                "reason": locked.reason,
                "detail": locked.detail,
            }
            for locked in facts.locked
        ],
        "unused_inputs": [_port(port) for port in facts.unused_inputs],
        "constant_outputs": [_port(port) for port in facts.constant_outputs],
        "operators_without_rule": [asdict(operator) for operator in facts.operators_without_rule],
        "warnings": [_warning(finding) for finding in facts.warnings],
    }


def _warning(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.name,
        "message": finding.message,
        "value": finding.value,
        "finding": finding.code,
        "severity": str(finding.severity),
        "about": str(finding.about),
        "units": list(finding.units),
    }


def _probe(probe: ProbeSummary | None) -> dict[str, Any] | None:
    return None if probe is None else asdict(probe)


def _port(port: UnusedInput | ConstantOutput) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(port).items()}


def _layer(layer: LayerVerdicts) -> dict[str, Any]:
    audited = layer.audited
    return {
        "value": audited.value,
        "node": audited.node,
        "op": audited.op,
        "kind": str(audited.kind),
        "axis": audited.axis,
        "units": audited.units,
        "dead": list(layer.dead),
        "constant": list(layer.constant),
        "values": layer.stays_at[list(layer.dead)].tolist(),
        "near_dead": list(layer.near_dead),
        "saturated": list(layer.saturated),
        "always_on": list(layer.always_on),
        "nonfinite": list(layer.nonfinite),
        "revived": None if layer.revived is None else list(layer.revived),
        "covered_by": None,  # nothing is; the schema has always required it
        "evidence": {
            "structural": list(layer.structural),
            "observed": list(layer.dead_by(Evidence.OBSERVED)),
            "samples": layer.samples,
            "firing_bound": layer.firing_bound,
            "confidence": CONFIDENCE,
        },
    }


def _why(diagnosis: LayerDiagnosis | None) -> dict[str, Any]:
    if diagnosis is None:
        return {"causes": [], "distances": [], "remedy": []}
    return {
        "causes": [
            {
                "unit": cause.unit,
                "code": str(cause.code),
                "detail": cause.detail,
                "distance": cause.distance,
                "root": None if cause.root is None else {"value": cause.root[0], "unit": cause.root[1]},
            }
            for cause in diagnosis.causes
        ],
        "distances": list(diagnosis.distances),
        "remedy": list(diagnosis.remedy),
    }


def _tensor(tensor: TensorPlan) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "kept": list(tensor.kept),
        "removable": tensor.removable,
        "removed": [list(indices) for indices in tensor.removed],
    }
