"""The stages in their order: the way in for the command line and for Python."""

from analyzer.api.auditing import BATCH_SIZE, audit, input_files, preset_named, prune
from analyzer.api.choosing import choice_from_plan
from analyzer.api.pruned import Pruned
from analyzer.api.result import Audit, Progress

__all__ = [
    "BATCH_SIZE",
    "Audit", "Progress", "Pruned", "audit", "choice_from_plan", "input_files", "preset_named", "prune"]
