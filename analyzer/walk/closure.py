"""Keep vectors: from what is needed, grown until every node of the smaller graph would be consistent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.algebra.keeps import Keeps, Ref
from analyzer.algebra.pattern import Mask
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import Operator
from analyzer.ops.weighted_sum import WeightedSum
from analyzer.walk.flow import Needs

_STEPS_BEFORE = 4


@dataclass(frozen=True, slots=True)
class Closure:
    """What stays, which channels stay as carriers (value, axis, index), and which nodes stay (their indices)."""

    keeps: Keeps
    carriers: frozenset[tuple[str, int, int]]
    nodes: frozenset[int]

    def live(self, call: Call) -> bool:
        """Whether the node stays."""
        return call.op.node.index in self.nodes


def close(
    context: Context,
    facts: Mapping[str, Constants],
    needs: Needs,
    extra: Mapping[str, list[Mask]] | None = None,
    round_to: int = 1,
    picks: dict[Ref, int] | None = None,
) -> Closure:
    """The smallest consistent keep vectors that hold everything needed.

    `extra` are further indices to keep, per value one vector per axis; widths of layers stay multiples of `round_to`.
    `picks` are the indices chosen where any would do; choices are read from it and written to it.
    """
    graph = context.graph
    pending = _Latest()

    def touch(name: str) -> None:
        for node in context.around(name):
            pending.add(node.index)

    waiting: dict[Ref, None] = {}  # axes of which any index must stay, until all that is asked for by name is there
    keeps = Growth(context.shapes, touch, waiting.setdefault)
    # The model is called as before.
    for name in (*graph.inputs, *graph.defaults, *graph.outputs):
        if name in keeps:
            keeps.pin(name)
    for name, mask in needs.masks.items():
        if name in keeps:
            keeps.need(name, mask)
    for name, box in needs.boxes.items():
        if name in keeps:
            keeps.grow_all(name, box)
    for name, vectors in (extra or {}).items():
        keeps.grow_all(name, vectors)
    carriers: set[tuple[str, int, int]] = set()
    while True:
        _settle(context, keeps, pending, needs)
        more = _carriers(context, facts, needs, keeps)
        if not more and _keep_any(context, facts, keeps, waiting, {} if picks is None else picks):
            continue
        if not more and not (round_to > 1 and _round_up(context, needs, keeps, round_to)):
            live = frozenset(c.op.node.index for c in context.calls if _is_live(c, keeps, needs))
            for copy in context.copies.values():
                if keeps.alive(copy.name):
                    keeps.grow_all(copy.source, keeps.vectors(copy.name))
            return Closure(keeps.final(), frozenset(carriers), live)
        carriers |= more


def _keep_any(
    context: Context, facts: Mapping[str, Constants], keeps: Growth, waiting: dict[Ref, None], picks: dict[Ref, int]
) -> bool:
    """Keep one index of an axis that must have some and still has none; whether there was such an axis.

    One that was chosen before, one that stays close by, one that varies (it asks for nothing more), or the first.
    """
    empty = next((ref for ref in reversed(waiting) if not keeps.get(ref).any()), None)
    if empty is None:
        return False
    del waiting[empty]
    if empty not in picks:
        preferred = _kept_before(context, keeps, empty)
        preferred = _varying(facts, keeps, empty) if preferred is None else preferred
        picks[empty] = 0 if preferred is None else int(np.argmax(preferred))
    keeps.grow(empty, np.arange(len(keeps.get(empty))) == picks[empty])
    return True


def _varying(facts: Mapping[str, Constants], keeps: Growth, ref: Ref) -> Mask | None:
    """Indices that are not constant."""
    found = facts.get(ref[0])
    return ~found.per_index(ref[1], len(keeps.get(ref)))[0] if found is not None and found.rank else None


def _kept_before(context: Context, keeps: Growth, ref: Ref) -> Mask | None:
    """Indices that stay anyway in a value shortly before this one, along an axis that is likely the same."""
    length, layer = len(keeps.get(ref)), [ref[0]]
    for _ in range(_STEPS_BEFORE):
        producers = [context.graph.producer[name] for name in layer if name in context.graph.producer]
        layer = [name for node in producers for name in node.inputs if context.graph.producer.get(name) is not None]
        for name in layer:
            shape = context.shapes.get(name, ())
            if len(shape) > ref[1] and shape[ref[1]] == length and keeps.get((name, ref[1])).any():
                return keeps.get((name, ref[1]))
    return None


def _is_live(call: Call, keeps: Growth, needs: Needs) -> bool:
    for name in call.outputs:
        if name in keeps:
            if keeps.alive(name) and name not in needs.materialized:
                return True
        elif needs.masks.get(name) is not None:
            return True
    return False


class _Latest:
    """Nodes by their index, the last of the graph first, each once."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._held: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, index: int) -> None:
        if index not in self._held:
            self._held.add(index)
            heappush(self._heap, -index)

    def pop(self) -> int:
        index = -heappop(self._heap)
        self._held.remove(index)
        return index


def _settle(context: Context, keeps: Growth, pending: _Latest, needs: Needs) -> None:
    while pending:
        index = pending.pop()
        call = context.by_node[index]
        if not _is_live(call, keeps, needs):
            continue
        for name in (*call.inputs, *call.outputs):
            for folded in context.folded_axes(name) if name in keeps and keeps.alive(name) else ():
                keeps.pin_axis((name, folded))
        for name in call.op.node.captured:
            if name in keeps:
                keeps.pin(name)
        call.axes.ties(keeps)


def _carriers(
    context: Context, facts: Mapping[str, Constants], needs: Needs, keeps: Growth
) -> set[tuple[str, int, int]]:
    """Carriers of the first node that lacks some; the closure is taken again before the next is asked."""
    for call in context.calls:
        if call.barrier is not None or not call.outputs[0] or not _is_live(call, keeps, needs):
            continue
        if type(call.rule).carry is Operator.carry:
            continue
        ys = [needs.of(o, context.rank(o)) for o in call.outputs]
        xs, yc = (context.constants(facts, names) for names in (call.inputs, call.outputs))
        found = call.rule.carry(call.op, keeps, ys, xs, yc)
        found = [c for c in found if not keeps.get((c[0], c[1]))[c[2]]]  # each round keeps something new, so it ends
        for name, axis, index in found:
            one = np.zeros(context.shapes[name][axis], np.bool_)
            one[index] = True
            keeps.grow((name, axis), one)
        if found:
            return set(found)
    return set()


def _round_up(context: Context, needs: Needs, keeps: Growth, multiple: int) -> bool:
    """Keep some of the indices that could go until every layer's width is a multiple; whether any was added.

    Where some groups must keep equally many, each index that is added brings others: only one is added at a time.
    """
    counts = {total.groups for c in context.calls if (total := c.weighted_sum) is not None and _shared(c, total)}
    added = False
    for call in context.calls:
        total = call.weighted_sum
        axis = _width(call, total) if _is_live(call, keeps, needs) else None
        if axis is None:
            continue
        vector = keeps.get((call.outputs[0], axis))
        groups = 1 if total is None else total.groups
        more = _filled(vector, multiple, groups)
        if counts and groups == 1:
            more = _first_beside_others(vector, more & ~vector, counts)
        if (more & ~vector).any():
            keeps.grow((call.outputs[0], axis), more)
            added = True
    return added


def _shared(call: Call, total: WeightedSum) -> bool:
    """Whether a sum has groups of several units."""
    widths = [call.op.x_shape(total.data)[total.axis or 0], call.op.y_shape()[total.unit_axis or 0]]
    return 1 < total.groups < max(widths)


def _filled(vector: Mask, multiple: int, groups: int) -> Mask:
    """The kept indices with the first free ones up to the next multiple, equally many in each group that stays."""
    blocks = vector.reshape(groups, -1)
    live, most = blocks.any(axis=1), int(blocks.sum(axis=1).max())
    counts, sizes = range(max(int(live.sum()), 1), groups + 1), range(max(most, 1), blocks.shape[1] + 1)
    fitting = [(count * size, size, count) for count in counts for size in sizes if count * size % multiple == 0]
    if not fitting:
        return np.ones_like(vector)
    _, size, count = min(fitting)
    live = live | (np.cumsum(~live) <= count - int(live.sum()))
    missing = np.where(live, size - blocks.sum(axis=1), 0)
    return (blocks | (np.cumsum(~blocks, axis=1) <= missing[:, None])).reshape(-1)


def _first_beside_others(vector: Mask, free: Mask, counts: Collection[int]) -> Mask:
    """The first free index, preferably one whose group, where these are the numbers of groups, stays anyway."""
    beside = np.ones_like(vector)
    for count in counts:
        if len(vector) % count == 0:
            beside = beside & np.repeat(vector.reshape(count, -1).any(axis=1), len(vector) // count)
    places = np.flatnonzero(~vector & beside) if (~vector & beside).any() else np.flatnonzero(free)
    first = np.zeros_like(vector)
    first[places[:1]] = free.any()
    return first


def _width(call: Call, total: WeightedSum | None) -> int | None:
    """The axis of the output that is the width of a layer; a gather of units gives its readers one of their own."""
    if total is not None:
        return total.unit_axis
    axis = call.axes.chosen()
    return axis if axis in (1, len(call.op.out_shapes[0] or ()) - 1) else None
