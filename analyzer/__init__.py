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
    from analyzer.facts.audit import Evidence, LayerVerdicts, Locked, Removable, Thresholds
    from analyzer.facts.budgets import Budgets
    from analyzer.facts.causes import CauseCode
    from analyzer.facts.choice import Choice
    from analyzer.facts.verdicts import PRESETS
    from analyzer.probes.probe import ImageOptions

_HOMES = {
    "Audit": "analyzer.api",
    "Budgets": "analyzer.facts.budgets",
    "CheckResult": "analyzer.api",
    "CauseCode": "analyzer.facts.causes",
    "Choice": "analyzer.facts.choice",
    "Compared": "analyzer.api",
    "ComparisonFailed": "analyzer.errors",
    "Pruned": "analyzer.api",
    "DeadunitsError": "analyzer.errors",
    "Evidence": "analyzer.facts.audit",
    "ImageOptions": "analyzer.probes.probe",
    "InputError": "analyzer.errors",
    "LayerVerdicts": "analyzer.facts.audit",
    "Locked": "analyzer.facts.audit",
    "PRESETS": "analyzer.facts.verdicts",
    "Removable": "analyzer.facts.audit",
    "Thresholds": "analyzer.facts.audit",
    "audit": "analyzer.api",
    "check": "analyzer.api",
    "compare": "analyzer.api",
    "prune": "analyzer.api",
}

__all__ = [
    "PRESETS",
    "Audit",
    "Budgets",
    "CauseCode",
    "CheckResult",
    "Choice",
    "Compared",
    "ComparisonFailed",
    "DeadunitsError",
    "Evidence",
    "ImageOptions",
    "InputError",
    "LayerVerdicts",
    "Locked",
    "Pruned",
    "Removable",
    "Thresholds",
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
