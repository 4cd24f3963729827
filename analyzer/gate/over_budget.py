"""Budgets for units of one verdict, over the model and per layer."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.budgets import LayerLimits, Limit
from analyzer.facts.findings import About, Finding
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation, counted, percent


def of_the_model(situation: Situation, rule: Rule, verdict: str, word: str, limit: Limit | None) -> Iterator[Finding]:
    """A finding if the model as a whole has more units of this verdict than allowed."""
    found = sum(len(_units(situation, layer, verdict)) for layer in situation.layers)
    whole = sum(layer.units for layer in situation.layers)
    if limit is not None and limit.exceeded(found, whole):
        yield _finding(rule, found, whole, word, limit)


def of_each_layer(situation: Situation, rule: Rule, verdict: str, word: str, limits: LayerLimits) -> Iterator[Finding]:
    """A finding for each layer that has more units of this verdict than allowed for it."""
    for layer in situation.layers:
        audited = layer.audited
        limit = limits.for_any([layer.value, audited.node, audited.op])
        units = _units(situation, layer, verdict)
        if limit is not None and limit.exceeded(len(units), layer.units):
            yield _finding(rule, len(units), layer.units, word, limit, layer, units)


def _units(situation: Situation, layer: LayerVerdicts, verdict: str) -> tuple[int, ...]:
    units: tuple[int, ...] = getattr(layer, verdict)
    return situation.unexpected(layer, units)


def _finding(
    rule: Rule,
    found: int,
    whole: int,
    word: str,
    limit: Limit,
    layer: LayerVerdicts | None = None,
    units: tuple[int, ...] = (),
) -> Finding:
    return rule.finding(
        f"{found:,} of {counted(whole, 'unit')} {'is' if found == 1 else 'are'} {word} ({percent(found, whole)}); "
        f"the budget allows {limit}.",
        About.MODEL if layer is None else About.LAYER,
        value="" if layer is None else layer.value,
        node="" if layer is None else layer.audited.node,
        units=units,
        measured=found if limit.count is not None else found / max(whole, 1),
        allowed=limit.count if limit.count is not None else limit.share,
    )
