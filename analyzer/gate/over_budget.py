"""Findings about budgets: for units of one verdict, for parameters that can go, and for what may be dead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.budgets import LayerLimits, Limit
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted, number, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation


def of_the_model(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """A finding if the model as a whole has more units of this verdict than allowed."""
    limit: Limit | None = getattr(situation.budgets, f"max_{verdict}")
    units = sum(len(units_counted(situation, layer, verdict)) for layer in situation.layers)
    yield from _over(kind, limit, units, situation.audit.units, "unit", _are(units, verdict))


def of_each_layer(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """A finding for each layer that has more units of this verdict than allowed for it."""
    limits: LayerLimits = getattr(situation.budgets, f"max_{verdict}_layer")
    for layer in situation.layers:
        limit = limits.for_any(layer.audited.names)
        units = units_counted(situation, layer, verdict)
        names = {"about": About.LAYER, "value": layer.value, "node": layer.audited.node, "units": units}
        yield from _over(kind, limit, len(units), layer.units, "unit", _are(len(units), verdict), **names)


def of_both(situation: Situation, kind: FindingKind, verdict: str) -> Iterator[Finding]:
    """At most one finding about the model, and one per layer."""
    yield from of_the_model(situation, kind, verdict)
    yield from of_each_layer(situation, kind, verdict)


KINDS = tuple(
    FindingKind(code, name, Severity.ERROR, title, partial(find, verdict=verdict))
    for code, name, title, find, verdict in (
        ("DU015", "dead-over-budget", "More dead units than the budget allows", of_the_model, "dead"),
        (
            "DU016",
            "dead-layer-over-budget",
            "A layer has more dead units than the budget allows",
            of_each_layer,
            "dead",
        ),
        ("DU017", "constant-over-budget", "More constant units than the budget allows", of_both, "constant"),
        ("DU018", "near-dead-over-budget", "More near-dead units than the budget allows", of_both, "near_dead"),
        ("DU019", "saturated-over-budget", "More saturated units than the budget allows", of_both, "saturated"),
    )
)


@finding_kind(
    "DU020", "prunable-over-budget", Severity.ERROR, "More parameters could be removed than the budget allows"
)
def prunable_over_budget(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding about the model, and one per stored tensor."""
    removable, budgets = situation.audit.removable, situation.budgets
    whole = situation.audit.model.parameters
    yield from _over(kind, budgets.max_prunable, removable.parameters, whole, "parameter", "can go")
    for tensor in removable.tensors:
        limit = budgets.max_prunable_layer.for_any([tensor.name])
        names = {"about": About.TENSOR, "value": tensor.name}
        yield from _over(kind, limit, tensor.removable, prod(tensor.shape), "parameter", "can go", **names)


@finding_kind("DU021", "expected-dead-alive", Severity.NOTE, "The list of units that may be dead is out of date")
def expected_dead_alive(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per entry and layer."""
    for entry in situation.budgets.expect_dead:
        layers = [layer for layer in situation.audit.layers if entry.covers(layer.value, layer.audited.module)]
        if not layers:
            yield kind.finding("No audited layer has this name.", About.LAYER, value=entry.pattern)
        for layer in layers if entry.units is not None else ():
            alive = tuple(sorted((entry.units or frozenset()) - set(layer.dead) - set(layer.nonfinite)))
            if alive and layer.samples > 0:
                verb = "is" if len(alive) == 1 else "are"
                message = f"{counted(len(alive), 'unit')} expected to be dead {verb} alive or not there."
                yield kind.of_layer(layer, message, alive)


def units_counted(situation: Situation, layer: LayerVerdicts, verdict: str) -> tuple[int, ...]:
    """The units of a verdict that count against a budget: those that may be dead do not."""
    units: tuple[int, ...] = getattr(layer, verdict)
    return situation.unexpected(layer, units)


def _are(units: int, verdict: str) -> str:
    return f"{'is' if units == 1 else 'are'} {verdict.replace('_', '-')}"


def _over(
    kind: FindingKind, limit: Limit | None, count: int, whole: int, noun: str, what: str, **names: Any
) -> Iterator[Finding]:
    """A finding if `count` of `whole` is more than the limit."""
    if limit is not None and limit.exceeded(count, whole):
        yield kind.finding(
            f"{number(count)} of {counted(whole, noun)} {what} ({share(count, whole)}); the budget allows {limit}.",
            measured=count if limit.count is not None else count / max(whole, 1),
            allowed=limit.count if limit.count is not None else limit.share,
            **names,
        )
