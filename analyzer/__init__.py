"""deadunits: find the dead units of an exported ONNX model, and the parameters that can go with them.

    import analyzer
    audit = analyzer.audit("model.onnx", "probe.npz")
    audit.layers[0].dead, audit.removable.parameters, audit.locked

The names below are the public ones; everything else may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from analyzer.version import __version__

if TYPE_CHECKING:
    from analyzer.api import Audit, CheckResult, Compared, Pruned, audit, check, compare, prune
    from analyzer.errors import ComparisonFailed, DeadunitsError, InputError
    from analyzer.facts.audit import (
        AuditFacts,
        Conditions,
        Evidence,
        LayerVerdicts,
        Locked,
        ModelSummary,
        OperatorWithoutRule,
        ProbeSummary,
        Removable,
        TensorPlan,
        Thresholds,
    )
    from analyzer.facts.baseline import BaselineComparison, LayerChange
    from analyzer.facts.budgets import Budgets, ExpectedDead, LayerLimits, Limit
    from analyzer.facts.causes import CauseCode, LayerDiagnosis, UnitCause
    from analyzer.facts.checked import CheckFacts, FindingCard
    from analyzer.facts.choice import Choice
    from analyzer.facts.findings import About, Finding, Severity
    from analyzer.facts.history import Change, Course, LayerCourse, RunSummary
    from analyzer.facts.model_io import ConstantOutput, UnusedInput
    from analyzer.facts.picture import GraphPicture, PictureNode, Role
    from analyzer.facts.pruned import Comparison, Latency, OutputDifference, PrunedFacts, Refused, Size
    from analyzer.facts.statistics import UnitStatistics
    from analyzer.facts.units import AuditedValue, Kind
    from analyzer.facts.verdicts import PRESETS
    from analyzer.probes.probe import ImageOptions

_HOMES = {
    "PRESETS": "analyzer.facts.verdicts",
    "About": "analyzer.facts.findings",
    "Audit": "analyzer.api",
    "AuditFacts": "analyzer.facts.audit",
    "AuditedValue": "analyzer.facts.units",
    "BaselineComparison": "analyzer.facts.baseline",
    "Budgets": "analyzer.facts.budgets",
    "CauseCode": "analyzer.facts.causes",
    "Change": "analyzer.facts.history",
    "CheckFacts": "analyzer.facts.checked",
    "CheckResult": "analyzer.api",
    "Choice": "analyzer.facts.choice",
    "Compared": "analyzer.api",
    "Comparison": "analyzer.facts.pruned",
    "ComparisonFailed": "analyzer.errors",
    "Conditions": "analyzer.facts.audit",
    "ConstantOutput": "analyzer.facts.model_io",
    "Course": "analyzer.facts.history",
    "DeadunitsError": "analyzer.errors",
    "Evidence": "analyzer.facts.audit",
    "ExpectedDead": "analyzer.facts.budgets",
    "Finding": "analyzer.facts.findings",
    "FindingCard": "analyzer.facts.checked",
    "GraphPicture": "analyzer.facts.picture",
    "ImageOptions": "analyzer.probes.probe",
    "InputError": "analyzer.errors",
    "Kind": "analyzer.facts.units",
    "Latency": "analyzer.facts.pruned",
    "LayerChange": "analyzer.facts.baseline",
    "LayerCourse": "analyzer.facts.history",
    "LayerDiagnosis": "analyzer.facts.causes",
    "LayerLimits": "analyzer.facts.budgets",
    "LayerVerdicts": "analyzer.facts.audit",
    "Limit": "analyzer.facts.budgets",
    "Locked": "analyzer.facts.audit",
    "ModelSummary": "analyzer.facts.audit",
    "OperatorWithoutRule": "analyzer.facts.audit",
    "OutputDifference": "analyzer.facts.pruned",
    "PictureNode": "analyzer.facts.picture",
    "ProbeSummary": "analyzer.facts.audit",
    "Pruned": "analyzer.api",
    "PrunedFacts": "analyzer.facts.pruned",
    "Refused": "analyzer.facts.pruned",
    "Removable": "analyzer.facts.audit",
    "Role": "analyzer.facts.picture",
    "RunSummary": "analyzer.facts.history",
    "Severity": "analyzer.facts.findings",
    "Size": "analyzer.facts.pruned",
    "TensorPlan": "analyzer.facts.audit",
    "Thresholds": "analyzer.facts.audit",
    "UnitCause": "analyzer.facts.causes",
    "UnitStatistics": "analyzer.facts.statistics",
    "UnusedInput": "analyzer.facts.model_io",
    "audit": "analyzer.api",
    "check": "analyzer.api",
    "compare": "analyzer.api",
    "prune": "analyzer.api",
}

__all__ = [
    "PRESETS",
    "About",
    "Audit",
    "AuditFacts",
    "AuditedValue",
    "BaselineComparison",
    "Budgets",
    "CauseCode",
    "Change",
    "CheckFacts",
    "CheckResult",
    "Choice",
    "Compared",
    "Comparison",
    "ComparisonFailed",
    "Conditions",
    "ConstantOutput",
    "Course",
    "DeadunitsError",
    "Evidence",
    "ExpectedDead",
    "Finding",
    "FindingCard",
    "GraphPicture",
    "ImageOptions",
    "InputError",
    "Kind",
    "Latency",
    "LayerChange",
    "LayerCourse",
    "LayerDiagnosis",
    "LayerLimits",
    "LayerVerdicts",
    "Limit",
    "Locked",
    "ModelSummary",
    "OperatorWithoutRule",
    "OutputDifference",
    "PictureNode",
    "ProbeSummary",
    "Pruned",
    "PrunedFacts",
    "Refused",
    "Removable",
    "Role",
    "RunSummary",
    "Severity",
    "Size",
    "TensorPlan",
    "Thresholds",
    "UnitCause",
    "UnitStatistics",
    "UnusedInput",
    "__version__",
    "audit",
    "check",
    "compare",
    "prune",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: onnxruntime takes a second to import, which `--help` and Ctrl-C need not wait for.
    if name not in _HOMES:
        raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
