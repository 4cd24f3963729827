"""The stages in their order: the way in for the command line and for Python."""

from analyzer.api.audit_result import Audit, Progress
from analyzer.api.auditing import audit, input_files, preset_named, prune
from analyzer.api.checking import CheckResult, check, explain_finding, format_named
from analyzer.api.choosing import choice_from_plan
from analyzer.api.comparing import Compared, compare
from analyzer.api.guarded_files import guarded_files
from analyzer.api.pruned_model import Pruned
from analyzer.shapes.batching import BATCH_SIZE

__all__ = [
    "BATCH_SIZE",
    "Audit",
    "CheckResult",
    "Compared",
    "Progress",
    "Pruned",
    "audit",
    "check",
    "choice_from_plan",
    "compare",
    "explain_finding",
    "format_named",
    "guarded_files",
    "input_files",
    "preset_named",
    "prune",
]
