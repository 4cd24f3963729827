"""The stages in their order: the way in for the command line and for Python."""

from analyzer.api.auditing import BATCH_SIZE, audit, input_files, preset_named, prune
from analyzer.api.checking import CheckResult, check, explain_finding, format_named
from analyzer.api.choosing import choice_from_plan
from analyzer.api.comparing import Compared, compare
from analyzer.api.guarded import guarded_files
from analyzer.api.pruned import Pruned
from analyzer.api.result import Audit, Progress

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
