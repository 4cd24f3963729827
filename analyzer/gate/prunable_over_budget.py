"""More parameters could be removed than the budget allows.

What it means
    More of the model's parameters, or of one stored tensor, can go without changing any output on the probe than
    `--max-prunable` or `--max-prunable-layer` allows.

Why it matters
    Parameters that change nothing cost memory, download and often time on every device the model runs on.

What to do
    `deadunits prune MODEL --probe DATA -o OUT.onnx` writes the smaller model, checked against this one; deploy that
    one instead.

Evidence
    What the plan of `deadunits audit` removes, in stored numbers; patterns of `--max-prunable-layer` go by the
    tensor's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from analyzer.facts.budgets import Limit
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted, number, share
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding about the model, and one per stored tensor."""
    audit, limit = situation.audit, situation.budgets.max_prunable
    parameters = audit.model.parameters
    if limit is not None and limit.exceeded(audit.removable.parameters, parameters):
        yield _finding(kind, audit.removable.parameters, parameters, limit, About.MODEL, "")
    for tensor in audit.removable.tensors:
        own = situation.budgets.max_prunable_layer.for_any([tensor.name])
        if own is not None and own.exceeded(tensor.removable, prod(tensor.shape)):
            yield _finding(kind, tensor.removable, prod(tensor.shape), own, About.TENSOR, tensor.name)


def _finding(kind: FindingKind, found: int, whole: int, limit: Limit, about: About, value: str) -> Finding:
    return kind.finding(
        f"{number(found)} of {counted(whole, 'parameter')} can go ({share(found, whole)}); the budget allows {limit}.",
        about,
        value=value,
        measured=found if limit.count is not None else found / max(whole, 1),
        allowed=limit.count if limit.count is not None else limit.share,
    )


KIND = FindingKind("DU020", "prunable-over-budget", Severity.ERROR, find, __name__)
