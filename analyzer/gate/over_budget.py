"""Findings about budgets for units of one verdict, over the model and per layer: a table, a row per finding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.budgets import LayerLimits, Limit
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted, share
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation

_LOOK = """
    Look at the layers with most of them first. If the model is right as it is, raise the budget, or name the units
    in `expect-dead`; `deadunits prune` removes dead units for good."""

_EVIDENCE = """
Evidence
    Counted on all samples of the probe, units in `expect-dead` left out. A budget is a count (`5`) or a share (`5%`).
"""


def of_the_model(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """A finding if the model as a whole has more units of this verdict than allowed."""
    limit: Limit | None = getattr(situation.budgets, f"max_{verdict}")
    number = sum(len(_units(situation, layer, verdict)) for layer in situation.layers)
    whole = situation.audit.units
    if limit is not None and limit.exceeded(number, whole):
        yield _finding(kind, number, whole, verdict, limit)


def of_each_layer(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """A finding for each layer that has more units of this verdict than allowed for it."""
    limits: LayerLimits = getattr(situation.budgets, f"max_{verdict}_layer")
    for layer in situation.layers:
        limit = limits.for_any([layer.value, layer.audited.node, layer.audited.op])
        units = _units(situation, layer, verdict)
        if limit is not None and limit.exceeded(len(units), layer.units):
            yield _finding(kind, len(units), layer.units, verdict, limit, layer, units)


def of_both(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """At most one finding about the model, and one per layer."""
    yield from of_the_model(situation, kind, verdict)
    yield from of_each_layer(situation, kind, verdict)


def _units(situation: Situation, layer: LayerVerdicts, verdict: str) -> tuple[int, ...]:
    units: tuple[int, ...] = getattr(layer, verdict)
    return situation.unexpected(layer, units)


def _finding(
    kind: FindingKind,
    number: int,
    whole: int,
    verdict: str,
    limit: Limit,
    layer: LayerVerdicts | None = None,
    units: tuple[int, ...] = (),
) -> Finding:
    return kind.finding(
        f"{number:,} of {counted(whole, 'unit')} {'is' if number == 1 else 'are'} {verdict.replace('_', '-')} "
        f"({share(number, whole)}); the budget allows {limit}.",
        About.MODEL if layer is None else About.LAYER,
        value="" if layer is None else layer.value,
        node="" if layer is None else layer.audited.node,
        units=units,
        measured=number if limit.count is not None else number / max(whole, 1),
        allowed=limit.count if limit.count is not None else limit.share,
    )


KINDS = tuple(
    FindingKind(code, name, Severity.ERROR, partial(find, verdict=verdict), __name__, text=text + _EVIDENCE)
    for code, name, find, verdict, text in (
        (
            "DU015",
            "dead-over-budget",
            of_the_model,
            "dead",
            f"""More dead units than the budget allows.

What it means
    More units of the whole model are dead than `--max-dead` allows.

Why it matters
    The budget states how much of a model may be useless before somebody has to look at it.

What to do{_LOOK}
""",
        ),
        (
            "DU016",
            "dead-layer-over-budget",
            of_each_layer,
            "dead",
            f"""A layer has more dead units than the budget allows.

What it means
    More units of one layer are dead than `--max-dead-layer` allows for it.

Why it matters
    A layer can die while the model's total stays within its budget: a narrow layer hardly counts in the total and
    everything has to pass through it.

What to do{_LOOK} A single layer gets its own limit with
    `--max-dead-layer 'PATTERN=LIMIT'`.
""",
        ),
        (
            "DU017",
            "constant-over-budget",
            of_both,
            "constant",
            f"""More constant units than the budget allows.

What it means
    More units are stuck at a constant that is not zero than `--max-constant` or `--max-constant-layer` allows.

Why it matters
    Such units shift everything behind them by a fixed amount: typical of saturated activations and of normalisation
    with a scale of zero.

What to do{_LOOK}
""",
        ),
        (
            "DU018",
            "near-dead-over-budget",
            of_both,
            "near_dead",
            """More near-dead units than the budget allows.

What it means
    More units fire on hardly any sample than `--max-near-dead` or `--max-near-dead-layer` allows.

Why it matters
    Units that fire on one sample in a hundred are often the next to die, or stand for a rare class.

What to do
    See which samples wake them before calling them useless. What counts as near-dead follows `--preset` and
    `--near-dead`. If it is right so, raise the budget.
""",
        ),
        (
            "DU019",
            "saturated-over-budget",
            of_both,
            "saturated",
            """More saturated units than the budget allows.

What it means
    More sigmoid or tanh units lie in their flat region on almost every sample than `--max-saturated` or
    `--max-saturated-layer` allows.

Why it matters
    A saturated unit passes hardly any information and hardly any gradient. Inputs on the wrong scale are the usual
    reason.

What to do
    Check the scaling of the data, then the normalisation in front of the layer. What counts as saturated follows
    `--preset`.
""",
        ),
    )
)
