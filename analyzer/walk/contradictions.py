"""Derived constants held against the run: what it contradicts is withdrawn, with everything that follows from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.facts.audit import LayerVerdicts, Withdrawn
from analyzer.facts.tolerances import COARSELY_DERIVED, DERIVED
from analyzer.ops.context import Context


def doubts_before(context: Context, layers: Sequence[LayerVerdicts], contradicted: Collection[str]) -> dict[str, Mask]:
    """Elements about which nothing is derived: units that were NaN or infinite, and values contradicted earlier."""
    doubts = {name: pattern.uniform(len(context.shapes[name]), True) for name in contradicted if name in context.shapes}
    for layer in layers:
        rank = len(context.shapes.get(layer.value, ()))
        if layer.nonfinite and rank and layer.value not in doubts:  # the weights may say zero: zero times NaN is NaN
            units = np.isin(np.arange(layer.units), layer.nonfinite)
            doubts[layer.value] = pattern.on_axis(units, layer.audited.axis, rank)
    return doubts


def first_contradiction(
    context: Context, layers: Sequence[LayerVerdicts], facts: Mapping[str, Constants]
) -> tuple[Withdrawn, dict[str, Mask]] | None:
    """The first layer of the graph that the run saw otherwise, and the elements that can no longer be believed."""
    by_value = {layer.value: layer for layer in layers}
    for call in context.calls:
        for name in call.outputs:
            layer = by_value.get(name)
            units = None if layer is None else _contradicted(context, layer, facts.get(name))
            if layer is None or units is None:
                continue
            doubts = _followed(context, layer, units, facts, by_value)
            sources = tuple(value for value in doubts if value != name)
            _, value = facts[name].per_index(layer.audited.axis, layer.units)
            indices = tuple(np.flatnonzero(units).tolist())
            statistics = layer.statistics
            assert statistics is not None
            low, high = (float(a[indices[0]]) for a in (statistics.minimum, statistics.maximum))
            return Withdrawn(
                name, call.op.name, call.op.op_type, indices, float(value[indices[0]]), low, high, sources
            ), doubts
    return None


def _contradicted(context: Context, layer: LayerVerdicts, found: Constants | None) -> Mask | None:
    """Units that should be constant by derivation and that the run showed otherwise."""
    statistics = layer.statistics
    if statistics is None or not statistics.samples or found is None or not found.any:
        return None
    known, value = found.per_index(layer.audited.axis, layer.units)
    known = known & (statistics.nonfinite == 0)
    allowed = DERIVED.get(context.coarsest(layer.value), COARSELY_DERIVED) * (1 + np.abs(value))
    low = np.where(statistics.minimum_exact, statistics.minimum, value)
    wrong = known & ((np.abs(statistics.maximum - value) > allowed) | (np.abs(low - value) > allowed))
    return wrong if wrong.any() else None


def _followed(
    context: Context,
    layer: LayerVerdicts,
    units: Mask,
    facts: Mapping[str, Constants],
    seen: Mapping[str, LayerVerdicts],
) -> dict[str, Mask]:
    """The contradicted elements and the derived ones that they follow from, back to what was stored or seen to hold."""
    doubts = {layer.value: pattern.on_axis(units, layer.audited.axis, layer.audited.rank)}
    for call in reversed(context.calls):
        if call.barrier is not None or not any(o in doubts for o in call.outputs):
            continue
        ys = [doubts.get(o, pattern.uniform(context.rank(o), False)) for o in call.outputs]
        xs, yc = (context.constants({}, names) for names in (call.inputs, call.outputs))
        read = call.rule.needs(call.op, ys, xs, yc)
        for name, mask in zip(call.inputs, read, strict=True):
            computed = name in context.graph.producer and name not in context.graph.static_values
            held = name in seen and seen[name].samples > 0  # the run was asked about it by itself
            if computed and not held and name in facts and (derived := mask & facts[name].known).any():
                doubts[name] = derived | doubts.get(name, pattern.uniform(derived.ndim, False))
    return doubts
