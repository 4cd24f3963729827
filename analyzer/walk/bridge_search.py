"""Find the edges at which a locked dead unit could be let go: before the join that needs it, or before its reader."""

from __future__ import annotations

from collections import deque

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.bridge import Bridge
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.walk.reasons import Slot, kept_dead, linked, why_kept
from analyzer.walk.settle import Walk

_JOIN = "residual-partner-alive"
_FLOATS = ("float16", "float32", "float64")
_SUMS = ("Add", "Sub", "Sum", "Mean")

Place = tuple[str, str, int, int, int]  # kind, value, axis, node, position


def find_bridges(found: Walk, round_to: int = 1) -> list[Bridge]:
    """All edges where dead units that stay could be cut off, each with its units.

    The walk is one without rounding: what stays only to round a width is not to be cut off. What a bridge leaves of
    a value is a multiple of `round_to`.
    """
    places: dict[Place, set[int]] = {}
    for layer, unit in kept_dead(found.closure, found.layers):
        start = Slot(layer.value, layer.audited.axis, unit)
        reason = why_kept(found.context, found.facts, found.closure, start)
        if reason.code == _JOIN:
            _before_join(found, reason.path[-1], places)
        _before_readers(found, start, places)
    bridges = [_bridge(found, place, units, round_to) for place, units in sorted(places.items())]
    return [bridge for bridge in bridges if bridge.dead]


def _bridge(found: Walk, place: Place, units: set[int], round_to: int) -> Bridge:
    kind, value, axis, node, position = place
    if kind == "narrow":
        return Bridge("narrow", value, axis, tuple(sorted(units)), node, position)
    known, constant = found.facts[value].per_index(axis, found.context.shapes[value][axis])
    # What the plain cut takes too: as a part of what the bridge pads, it would have to stay.
    gone = known & ~found.closure.keeps.get((value, axis)) & _can_be_given(found, node, value, constant)
    dead = tuple(sorted(units | {int(i) for i in np.flatnonzero(gone)}))
    dead = dead[min((len(dead) - len(known)) % round_to, len(dead)) :]
    return Bridge(
        "widen", value, axis, dead, node, position, tuple(float(constant[i]) for i in dead), _type(found, value)
    )


def _can_be_given(found: Walk, node: int, value: str, constant: Array) -> Mask:
    """Constants that a reader can be given behind a gather: zeros, and summands of a sum.

    Other numbers are added to the whole value, and a sum with zero may change the sign of a zero.
    """
    summed = found.context.by_node[node].op.op_type in _SUMS and _type(found, value) in _FLOATS
    possible: Mask = (constant == 0) | summed
    return possible


def _type(found: Walk, value: str) -> str:
    return found.context.dtype(value) or "unknown"


def _before_join(found: Walk, slot: Slot, places: dict[Place, set[int]]) -> None:
    """The elementwise readers of a slot that is constant: they can be given the constant instead."""
    if slot.value not in found.facts:  # an input's default
        return
    known, value = found.facts[slot.value].per_index(slot.axis, found.context.shapes[slot.value][slot.axis])
    if not known[slot.index]:
        return
    for node, position in found.context.graph.consumers.get(slot.value, ()):
        call = found.context.by_node[node.index]
        given = _can_be_given(found, node.index, slot.value, value)[slot.index]
        if given and call.barrier is None and call.rule.aligned and found.closure.live(call):
            places.setdefault(("widen", slot.value, slot.axis, node.index, position), set()).add(slot.index)


def _before_readers(found: Walk, start: Slot, places: dict[Place, set[int]]) -> None:
    """The weighted sums downstream that can do without the constant."""
    queue, seen = deque([start]), {start}
    while queue:
        slot = queue.popleft()
        known, _ = found.facts[slot.value].per_index(slot.axis, found.context.shapes[slot.value][slot.axis])
        if not known[slot.index] or slot.value in found.context.graph.initializer_names:
            continue
        for node, position in found.context.graph.consumers.get(slot.value, ()):
            call = found.context.by_node[node.index]
            if call.barrier is not None or not found.closure.live(call):
                continue
            if isinstance(call.rule, ConvRule | Contraction):
                if _absorbs(found, node.index, position, slot):
                    places.setdefault(("narrow", slot.value, slot.axis, node.index, position), set()).add(slot.index)
                continue
            for after in linked(call, slot):
                if after.value in call.outputs and after not in seen:
                    seen.add(after)
                    queue.append(after)


def _absorbs(found: Walk, node: int, position: int, slot: Slot) -> bool:
    """Whether this reader alone would let the slot go."""
    call = found.context.by_node[node]
    if isinstance(call.rule, ConvRule):
        single = call.rule.groups(call.op) == 1 and position == call.rule.x and slot.axis == 1
        known, value = found.facts[slot.value].per_index(1, found.context.shapes[slot.value][1])
        return single and bool(known[slot.index]) and (call.rule.flat_border(call.op) or value[slot.index] == 0)
    weight = call.op.static(1 - position) if position in (0, 1) else None
    return weight is not None and slot.axis == len(found.context.shapes[slot.value]) - 1 and position == 0
