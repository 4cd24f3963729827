"""deadunits: find the dead units of an exported ONNX model, and the parameters that can go with them.

    import analyzer
    audit = analyzer.audit("model.onnx", "probe.npz")
    audit.layers[0].dead, audit.removable.parameters, audit.locked

The names below are the public ones; everything else may change.
"""

from __future__ import annotations

import importlib
import os

from analyzer.version import __version__

TYPE_CHECKING = False  # as in typing, which takes a while to load: a signal may come meanwhile
if TYPE_CHECKING:
    from typing import Any

    from analyzer.api.at_once import prune, revive
    from analyzer.api.audit_result import Audit
    from analyzer.api.auditing import audit
    from analyzer.api.checking import CheckResult, check
    from analyzer.api.comparing import Compared, compare
    from analyzer.api.kept_statistics import Statistics, merge_statistics
    from analyzer.api.observing import take_statistics
    from analyzer.api.options import Data, Run
    from analyzer.api.proof_result import Proof
    from analyzer.api.proving import prove
    from analyzer.api.pruned_model import Pruned
    from analyzer.api.reviving import Revived
    from analyzer.api.verifying import Verified, verify
    from analyzer.errors import ComparisonFailed, DeadunitsError, InputError, ProofContradicted
    from analyzer.facts.audio_options import AudioOptions
    from analyzer.facts.audit import (
        AuditFacts,
        Conditions,
        HalfOverflow,
        LayerVerdicts,
        Locked,
        ModelSummary,
        OperatorWithoutRule,
        ProbeSummary,
        ProviderShare,
        Removable,
        TensorPlan,
        Withdrawn,
    )
    from analyzer.facts.baseline import BaselineComparison, LayerChange
    from analyzer.facts.budgets import Budgets, ExpectedDead, LayerLimits, Limit
    from analyzer.facts.causes import CauseCode, LayerDiagnosis, UnitCause
    from analyzer.facts.checked import BudgetUse, CheckFacts, FindingCard
    from analyzer.facts.choice import Choice
    from analyzer.facts.evidence import Evidence
    from analyzer.facts.experts import RoutedExperts
    from analyzer.facts.findings import About, Finding, Severity
    from analyzer.facts.history import Change, Course, Descent, LayerCourse, Narrowed, RunSummary
    from analyzer.facts.image_options import ImageOptions
    from analyzer.facts.judged import Judged, LeftOut, OperatorCount
    from analyzer.facts.model_io import ConstantOutput, UnusedInput
    from analyzer.facts.picture import GraphPicture, PictureNode, Role
    from analyzer.facts.probe_condition import InputCondition, LabelsInData, ProbeCondition, TrainingScale
    from analyzer.facts.proof import Claim, DomainSummary, Failed, Method, Outcome, ProofFacts, UnitProof, VerifiedFacts
    from analyzer.facts.pruned import Comparison, Latency, OutputDifference, PrunedFacts, Refused, Size
    from analyzer.facts.revived import RevivedFacts
    from analyzer.facts.statistics import UnitStatistics
    from analyzer.facts.text_options import TextOptions
    from analyzer.facts.thresholds import PRESETS, Thresholds
    from analyzer.facts.units import AuditedValue, Curve, Kind
    from analyzer.facts.vocabulary import GatheredRows

# onnxruntime would write a device id and events into the user's cache folder; it reads this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "About": "facts.findings",
    "Audit": "api.audit_result",
    "AuditFacts": "facts.audit",
    "AuditedValue": "facts.units",
    "BaselineComparison": "facts.baseline",
    "BudgetUse": "facts.checked",
    "Budgets": "facts.budgets",
    "CauseCode": "facts.causes",
    "Change": "facts.history",
    "CheckFacts": "facts.checked",
    "CheckResult": "api.checking",
    "Choice": "facts.choice",
    "Claim": "facts.proof",
    "Compared": "api.comparing",
    "Comparison": "facts.pruned",
    "ComparisonFailed": "errors",
    "Conditions": "facts.audit",
    "ConstantOutput": "facts.model_io",
    "Course": "facts.history",
    "Curve": "facts.units",
    "Data": "api.options",
    "DeadunitsError": "errors",
    "Descent": "facts.history",
    "DomainSummary": "facts.proof",
    "Evidence": "facts.evidence",
    "ExpectedDead": "facts.budgets",
    "Failed": "facts.proof",
    "Finding": "facts.findings",
    "FindingCard": "facts.checked",
    "GatheredRows": "facts.vocabulary",
    "GraphPicture": "facts.picture",
    "HalfOverflow": "facts.audit",
    "ImageOptions": "facts.image_options",
    "AudioOptions": "facts.audio_options",
    "TextOptions": "facts.text_options",
    "InputCondition": "facts.probe_condition",
    "InputError": "errors",
    "Judged": "facts.judged",
    "Kind": "facts.units",
    "LabelsInData": "facts.probe_condition",
    "Latency": "facts.pruned",
    "LayerChange": "facts.baseline",
    "LayerCourse": "facts.history",
    "LayerDiagnosis": "facts.causes",
    "LayerLimits": "facts.budgets",
    "LayerVerdicts": "facts.audit",
    "LeftOut": "facts.judged",
    "Limit": "facts.budgets",
    "Locked": "facts.audit",
    "Method": "facts.proof",
    "ModelSummary": "facts.audit",
    "Narrowed": "facts.history",
    "OperatorCount": "facts.judged",
    "OperatorWithoutRule": "facts.audit",
    "Outcome": "facts.proof",
    "OutputDifference": "facts.pruned",
    "PRESETS": "facts.thresholds",
    "PictureNode": "facts.picture",
    "ProbeCondition": "facts.probe_condition",
    "ProbeSummary": "facts.audit",
    "ProviderShare": "facts.audit",
    "Proof": "api.proof_result",
    "ProofContradicted": "errors",
    "ProofFacts": "facts.proof",
    "Pruned": "api.pruned_model",
    "PrunedFacts": "facts.pruned",
    "Refused": "facts.pruned",
    "Removable": "facts.audit",
    "Revived": "api.reviving",
    "RevivedFacts": "facts.revived",
    "Role": "facts.picture",
    "RoutedExperts": "facts.experts",
    "Run": "api.options",
    "RunSummary": "facts.history",
    "Severity": "facts.findings",
    "Size": "facts.pruned",
    "Statistics": "api.kept_statistics",
    "TensorPlan": "facts.audit",
    "Thresholds": "facts.thresholds",
    "TrainingScale": "facts.probe_condition",
    "UnitCause": "facts.causes",
    "UnitProof": "facts.proof",
    "UnitStatistics": "facts.statistics",
    "UnusedInput": "facts.model_io",
    "Verified": "api.verifying",
    "VerifiedFacts": "facts.proof",
    "Withdrawn": "facts.audit",
    "audit": "api.auditing",
    "check": "api.checking",
    "compare": "api.comparing",
    "prove": "api.proving",
    "prune": "api.at_once",
    "merge_statistics": "api.kept_statistics",
    "revive": "api.at_once",
    "take_statistics": "api.observing",
    "verify": "api.verifying",
}

__all__ = [
    "PRESETS",
    "About",
    "AudioOptions",
    "Audit",
    "AuditFacts",
    "AuditedValue",
    "BaselineComparison",
    "BudgetUse",
    "Budgets",
    "CauseCode",
    "Change",
    "CheckFacts",
    "CheckResult",
    "Choice",
    "Claim",
    "Compared",
    "Comparison",
    "ComparisonFailed",
    "Conditions",
    "ConstantOutput",
    "Course",
    "Curve",
    "Data",
    "DeadunitsError",
    "Descent",
    "DomainSummary",
    "Evidence",
    "ExpectedDead",
    "Failed",
    "Finding",
    "FindingCard",
    "GatheredRows",
    "GraphPicture",
    "HalfOverflow",
    "ImageOptions",
    "InputCondition",
    "InputError",
    "Judged",
    "Kind",
    "LabelsInData",
    "Latency",
    "LayerChange",
    "LayerCourse",
    "LayerDiagnosis",
    "LayerLimits",
    "LayerVerdicts",
    "LeftOut",
    "Limit",
    "Locked",
    "Method",
    "ModelSummary",
    "Narrowed",
    "OperatorCount",
    "OperatorWithoutRule",
    "Outcome",
    "OutputDifference",
    "PictureNode",
    "ProbeCondition",
    "ProbeSummary",
    "Proof",
    "ProofContradicted",
    "ProofFacts",
    "ProviderShare",
    "Pruned",
    "PrunedFacts",
    "Refused",
    "Removable",
    "Revived",
    "RevivedFacts",
    "Role",
    "RoutedExperts",
    "Run",
    "RunSummary",
    "Severity",
    "Size",
    "Statistics",
    "TensorPlan",
    "TextOptions",
    "Thresholds",
    "TrainingScale",
    "UnitCause",
    "UnitProof",
    "UnitStatistics",
    "UnusedInput",
    "Verified",
    "VerifiedFacts",
    "Withdrawn",
    "__version__",
    "audit",
    "check",
    "compare",
    "merge_statistics",
    "prove",
    "prune",
    "revive",
    "take_statistics",
    "verify",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: onnxruntime takes a second to import, which `--help` and Ctrl-C need not wait for.
    if name not in _HOMES:
        raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
    return getattr(importlib.import_module(f"analyzer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
