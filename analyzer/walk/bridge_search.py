"""Find the edges at which a locked dead unit could be let go: before the join that needs it, or before its reader."""

from __future__ import annotations

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.bridge import Bridge
from analyzer.ops.context import Call
from analyzer.walk.reasons import BLOCKS, ELEMENTWISE, RESIDUAL, kept_dead
from analyzer.walk.settle import Walk
from analyzer.walk.tie_graph import Slot

_FLOATS = ("float16", "float32", "float64")

Place = tuple[str, str, int, int, int]  # kind, value, axis, node, position


def find_bridges(found: Walk, round_to: int = 1) -> list[Bridge]:
    """All edges where dead units that stay could be cut off, each with its units.

    The walk is one without rounding: what stays only to round a width is not to be cut off. What a bridge leaves of
    a value is a multiple of `round_to`.
    """
    places: dict[Place, set[int]] = {}
    for layer, unit in kept_dead(found.closure, found.layers):
        start = Slot(layer.value, layer.audited.axis, unit)
        reason = found.reasons.of(start)
        if reason.code in (RESIDUAL, ELEMENTWISE):
            _before_join(found, reason.path[-1], places)
        _before_readers(found, start, places, "widen" if reason.code == BLOCKS else "narrow")
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
    call = found.context.by_node[node]
    affine = call.rule.affine(call.op)
    joined = affine is not None and (len(affine.factors) > 1 or all((f == 1).all() for f in affine.factors.values()))
    summed = joined and _type(found, value) in _FLOATS
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


def _before_readers(found: Walk, start: Slot, places: dict[Place, set[int]], kind: str) -> None:
    """The weighted sums downstream that can do without the constant, or, where blocks go as a whole, be given it."""

    def goes_on(slot: Slot, call: Call) -> bool:
        known = slot.value not in found.context.graph.initializer_names and _constant(found, slot) is not None
        return known and call.barrier is None and found.closure.live(call) and not call.sums

    for slot, _ in found.reasons.ties.downstream(start, goes_on):
        for node, position in found.context.graph.consumers.get(slot.value, ()):
            call = found.context.by_node[node.index]
            if found.closure.live(call) and _absorbs(found, call, position, slot):
                places.setdefault((kind, slot.value, slot.axis, node.index, position), set()).add(slot.index)


def _constant(found: Walk, slot: Slot) -> float | None:
    """The slot's constant, if it is one."""
    known, value = found.facts[slot.value].per_index(slot.axis, found.context.shapes[slot.value][slot.axis])
    return float(value[slot.index]) if known[slot.index] else None


def _absorbs(found: Walk, call: Call, position: int, slot: Slot) -> bool:
    """Whether this reader alone would let the slot go."""
    total, constant = call.weighted_sum, _constant(found, slot)
    if total is None or constant is None or (position, slot.axis) != (total.data, total.axis):
        return False
    return total.groups == 1 and (total.absorbs or constant == 0)
