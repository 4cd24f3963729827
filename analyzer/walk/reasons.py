"""Why a dead unit stays: the first operator downstream that cannot do without its index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.algebra.constants import Constants
from analyzer.facts.audit import LayerVerdicts, Locked
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.norm import Normalised
from analyzer.walk.closure import Closure

if TYPE_CHECKING:
    import networkx as nx

TIED = "tied-to-kept-index"


@dataclass(frozen=True, slots=True)
class Slot:
    """One index of one axis of a value."""

    value: str
    axis: int
    index: int

    def __str__(self) -> str:
        return f"{self.value}[{self.index}]" if self.axis == 1 else f"{self.value}[axis {self.axis}: {self.index}]"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code, a sentence, and the slots on the way to it."""

    code: str
    detail: str
    path: tuple[Slot, ...]


def linked(call: Call, slot: Slot) -> list[Slot]:
    """The slots of the node's other values that are cut together with this one."""
    tied = call.axes.tied((slot.value, slot.axis), slot.index)
    return [Slot(name, axis, int(index)) for (name, axis), indices in tied for index in indices]


def why_kept(
    context: Context,
    facts: Mapping[str, Constants],
    closure: Closure,
    start: Slot,
    told: dict[Slot, Reason] | None = None,
) -> Reason:
    """The reason for one slot, found by walking downstream over tied slots; `told` shares reasons between slots."""
    queue: deque[tuple[Slot, tuple[Slot, ...]]] = deque([(start, (start,))])
    seen = {start}
    while queue:
        slot, path = queue.popleft()
        if slot.value in context.outputs:
            return Reason("graph-output", f"{slot.value} is an output of the model", path)
        for node, position in context.readers(slot.value):
            call = context.by_node[node.index]
            if not closure.live(call):
                continue
            reason = _stops(context, facts, closure, call, position, slot)
            if reason is not None:
                return Reason(*reason, path)
            for after in linked(call, slot):
                if after.value in call.outputs and after not in seen:
                    seen.add(after)
                    queue.append((after, (*path, after)))
    return _beside(context, facts, closure, start, told)


def _stops(
    context: Context, facts: Mapping[str, Constants], closure: Closure, call: Call, position: int, slot: Slot
) -> tuple[str, str] | None:
    """The reason this reader gives, or None when it passes the question on or does not mind."""
    name, rule = call.op.name, call.rule
    if position < 0 or call.op.node.has_subgraph:
        return "subgraph-capture", f"a subgraph of {name} ({call.op.op_type}) reads it"
    if call.barrier is not None:
        return "unsupported-operator", f"{name} ({call.op.op_type}): {call.barrier}"
    if (slot.value, slot.axis, slot.index) in closure.carriers:
        return "kept-as-carrier", f"{name} pads with zeros, so one constant channel stands in for all"
    if isinstance(rule, Normalised) and slot.axis in rule.normalised(call.op):
        return rule.lock_reason, f"{name} ({call.op.op_type}) normalises over this axis"
    if isinstance(rule, ConvRule) and rule.groups(call.op) > 1 and rule.groups(call.op) < context.shapes[slot.value][1]:
        return "group-balance", f"{name}: every group must keep equally many channels"
    if isinstance(rule, ConvRule | Contraction):
        shared = position in (0, 1) and not any(call.op.sole_user)
        stored = any(context.stored(n) is not None for n in call.inputs)
        return ("shared-parameter", f"{name} shares its weight with another node") if shared and stored else None
    if rule.aligned and not _partner_known(context, facts, call, position, slot):
        return "residual-partner-alive", f"{name} ({call.op.op_type}) joins it with a value that is alive there"
    after = [s for s in linked(call, slot) if s.value in call.outputs]
    if not after and call.outputs[0] not in context.outputs:
        return rule.lock_reason, f"{name} ({call.op.op_type}) needs the axis whole"
    return None


def _partner_known(context: Context, facts: Mapping[str, Constants], call: Call, position: int, slot: Slot) -> bool:
    rank = len(call.op.y_shape())
    for other, name in enumerate(call.inputs):
        if other == position or not name or call.op.static(other) is not None:
            continue
        found = facts.get(name) or Constants.unknown(len(context.shapes[name]))
        axis = slot.axis + (rank - len(context.shapes[slot.value])) - (rank - found.rank)
        if axis < 0 or context.shapes[name][axis] == 1:
            continue
        known, _ = found.per_index(axis, context.shapes[name][axis])
        if not known[slot.index]:
            return False
    return True


def spread(context: Context, graph: nx.DiGraph[Slot], start: Slot) -> Iterator[Slot]:
    """The slots that are cut together with one, nearest first; `graph` gets the edges over which they are tied."""
    graph.add_node(start)
    queue = deque([start])
    while queue:
        slot = queue.popleft()
        yield slot
        if slot != start and context.stored(slot.value) is not None and len(context.readers(slot.value)) == 1:
            continue  # its one reader is where we came from
        nodes = [n for n, p in context.readers(slot.value) if p >= 0]
        producer = context.graph.producer.get(slot.value)
        nodes += [producer] if producer is not None else []
        for node in nodes:
            call = context.by_node[node.index]
            for after in linked(call, slot):
                if after not in graph:
                    queue.append(after)
                    graph.add_edge(slot, after, node=call.op.name)


def tied_slots(context: Context, start: Slot) -> nx.DiGraph[Slot]:
    """All slots that are cut together with one, as a graph from the slot outward."""
    import networkx as nx

    graph: nx.DiGraph[Slot] = nx.DiGraph()
    deque(spread(context, graph, start), maxlen=0)
    return graph


def _beside(
    context: Context, facts: Mapping[str, Constants], closure: Closure, start: Slot, told: dict[Slot, Reason] | None
) -> Reason:
    """No reader downstream minds: some slot that is cut together with it has a reader that does.

    `told` holds the reasons of slots that were met on the way to one: what is cut together stays for one reason.
    """
    if told is not None and start in told:
        return told[start]
    import networkx as nx

    ties: nx.DiGraph[Slot] = nx.DiGraph()
    reason = _beside_in(context, facts, closure, start, ties)
    if told is not None:
        told.update(dict.fromkeys(ties, reason))
    return reason


def _beside_in(
    context: Context, facts: Mapping[str, Constants], closure: Closure, start: Slot, ties: nx.DiGraph[Slot]
) -> Reason:
    import networkx as nx

    for slot in spread(context, ties, start):
        if slot == start or context.stored(slot.value) is not None:
            continue
        reason = _reader_beside(context, facts, closure, slot)
        if reason is not None:
            return Reason(*reason, tuple(nx.shortest_path(ties, start, slot)))
    return Reason(TIED, "an index that is cut together with it stays", (start,))


def _reader_beside(
    context: Context, facts: Mapping[str, Constants], closure: Closure, slot: Slot
) -> tuple[str, str] | None:
    for node, position in context.readers(slot.value):
        call = context.by_node[node.index]
        if not closure.live(call):
            continue
        reason = _stops(context, facts, closure, call, position, slot)
        if reason is not None and reason[0] != "residual-partner-alive":
            return reason
        if isinstance(call.rule, ConvRule | Contraction):
            found, length = facts.get(slot.value), context.shapes[slot.value][slot.axis]
            if found is None or not found.per_index(slot.axis, length)[0][slot.index]:
                reader = f"{call.op.name} ({call.op.op_type})"
                return TIED, f"it is cut together with an index of {slot.value}, which {reader} reads"
    return None


def locked_units(
    context: Context, facts: Mapping[str, Constants], closure: Closure, layers: Sequence[LayerVerdicts]
) -> tuple[Locked, ...]:
    """Dead units that stay, grouped by value and reason."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    told: dict[Slot, Reason] = {}
    for layer, unit in kept_dead(closure, layers):
        reason = why_kept(context, facts, closure, Slot(layer.value, layer.audited.axis, unit), told)
        groups.setdefault((layer.value, reason.code, reason.detail), []).append(unit)
    return tuple(Locked(value, tuple(units), code, detail) for (value, code, detail), units in groups.items())


def kept_dead(closure: Closure, layers: Sequence[LayerVerdicts]) -> Iterator[tuple[LayerVerdicts, int]]:
    """Every dead unit whose index stays."""
    for layer in layers:
        if layer.dead and layer.value in closure.keeps:
            kept = closure.keeps.get((layer.value, layer.audited.axis))
            yield from ((layer, unit) for unit in layer.dead if kept[unit])
