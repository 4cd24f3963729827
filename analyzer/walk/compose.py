"""Two walks, the second over the model that the first one's cut left, seen as one walk over the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.growth import Growth
from analyzer.algebra.pattern import Mask
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.units import AuditedValue
from analyzer.walk.flow import needs_backward
from analyzer.walk.settle import Walk


def stand_ins(found: Walk) -> tuple[str, ...]:
    """Computed values of which nothing is needed, kept only so that their readers have an input.

    Most of what they were computed from goes with the cut, so they may be constant after it.
    """
    graph, keeps = found.context.graph, found.closure.keeps
    needed = needs_backward(found.context, found.facts).masks

    def stands_in(name: str) -> bool:
        mask = needed.get(name)
        unneeded = mask is None or not mask.any()
        return unneeded and name in keeps and keeps.alive(name) and name not in graph.static_values

    live = (node for node in graph.nodes if node.index in found.closure.nodes)
    return tuple(name for node in live for name in node.outputs if stands_in(name))


def left_of(found: Walk, audited: AuditedValue) -> LayerVerdicts:
    """The verdicts of the same value in the model that the walk's cut left, as far as they decide what goes."""
    layer = next((one for one in found.layers if one.value == audited.value), None)
    if layer is None or audited.value not in found.closure.keeps or layer.audited.axis != audited.axis:
        return LayerVerdicts.unseen(audited)
    kept = found.closure.keeps.get((audited.value, audited.axis))
    stayed = np.flatnonzero(kept)
    if len(stayed) != audited.units:
        return LayerVerdicts.unseen(audited)
    return LayerVerdicts(
        audited,
        layer.evidence[stayed],
        layer.stays_at[stayed],
        nonfinite=tuple(np.flatnonzero(np.isin(stayed, layer.nonfinite)).tolist()),
        samples=layer.samples,
        firing_bound=layer.firing_bound,
        distances=tuple(layer.distances[unit] for unit in stayed) if layer.distances else (),
    )


def compose(first: Walk, second: Walk) -> Walk | None:
    """The first walk with what the second takes away on top; None where the two do not fit together.

    A value is the same in both graphs when it has the same name; a tensor that several nodes read may have been
    parted by the first cut, so it is left as the first walk has it.
    """
    before, after = first.closure.keeps, second.closure.keeps
    graph, growth = second.context.graph, Growth(first.context.shapes)
    parted = {copy.source for copy in first.context.copies.values()}
    known = {*graph.producer, *graph.initializer_names, *graph.inputs} - parted
    for name in first.context.shapes:
        if not before.alive(name):
            continue
        vectors: Sequence[Mask] = before.vectors(name)
        if name in after and name in known:
            narrowed = after.vectors(name)
            fits = [int(v.sum()) for v in vectors] == [len(v) for v in narrowed]
            if not fits and name not in graph.initializer_names:
                return None
            if fits:  # the kernel of groups that were cut differently follows from the channels around it
                vectors = [_within(v, n) for v, n in zip(vectors, narrowed, strict=True)]
        growth.grow_all(name, vectors)
    return replace(first, closure=replace(first.closure, keeps=growth.final(), nodes=_left(first, second)))


def _left(first: Walk, second: Walk) -> frozenset[int]:
    """The first walk's nodes of whose outputs the second walk leaves something."""
    producer = second.context.graph.producer

    def stays(name: str) -> bool:
        node = producer.get(name)
        return node is not None and node.index in second.closure.nodes

    graph = first.context.graph
    return frozenset(i for i in first.closure.nodes if any(stays(name) for name in graph.nodes[i].outputs if name))


def _within(kept: Mask, narrowed: Mask) -> Mask:
    """Of the kept indices those that are kept again."""
    both = kept.copy()
    both[kept] = narrowed
    return both
