"""Why a dead unit stays: the first operator downstream that cannot do without its index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.facts.audit import LayerVerdicts, Locked
from analyzer.facts.evidence import Evidence
from analyzer.graph import Role
from analyzer.ops.context import HIDDEN, IDLE, Call, Context
from analyzer.ops.operator import traits_of
from analyzer.units.decomposed_norms import decomposed_norms
from analyzer.walk.closure import Closure
from analyzer.walk.tie_graph import Slot, TieGraph

TIED, BLOCKS, INTERFACE = "tied-to-kept-index", "packed-in-blocks", "interface"
#: It is joined with something that is alive: by a sum, as in a residual stream, or in another way, as by a gate.
RESIDUAL, ELEMENTWISE = "residual-partner-alive", "elementwise-partner-alive"
_Stop = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code, a sentence, and the slots on the way to it."""

    code: str
    detail: str
    path: tuple[Slot, ...]


REFUTED = Reason("refuted", "an input of the domain is known that moves it", ())


class Reasons:
    """The reasons for the slots that a closure keeps; what is cut together stays for one reason."""

    def __init__(self, context: Context, facts: Mapping[str, Constants], closure: Closure) -> None:
        self.context, self.facts, self.closure = context, facts, closure
        self.ties = TieGraph(context)
        self._shared: dict[Slot, Reason] = {}
        self._norms = decomposed_norms(context).by_node
        self._live_readers: dict[str, tuple[tuple[Call, int], ...]] = {}  # of values, which have many slots

    def locked(self, layers: Sequence[LayerVerdicts]) -> tuple[Locked, ...]:
        """Dead units that stay, grouped by value and reason."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        for layer, unit in kept_dead(self.closure, layers):
            refuted = layer.evidence_of(unit) is Evidence.REFUTED
            reason = REFUTED if refuted else self.of(Slot(layer.value, layer.audited.axis, unit))
            groups.setdefault((layer.value, reason.code, reason.detail), []).append(unit)
        return tuple(Locked(value, tuple(units), code, detail) for (value, code, detail), units in groups.items())

    def of(self, start: Slot) -> Reason:
        """The reason for one slot: some reader downstream that minds, or one beside."""
        for slot, path in self.ties.downstream(start, lambda _, call: self.closure.live(call)):
            if slot.value in self.context.outputs:
                return Reason("graph-output", f"{slot.value} is an output of the model", path)
            for call, position in self._readers(slot.value):
                stop = self._stops(call, position, slot)
                if stop is not None:
                    return Reason(*stop, path)
        if start not in self._shared:
            reason, met = self._beside(start)
            self._shared.update(dict.fromkeys(met, reason))
        return self._shared[start]

    def _readers(self, value: str) -> tuple[tuple[Call, int], ...]:
        """The calls that read a value and stay, with the input position."""
        if value not in self._live_readers:
            reading = ((self.context.by_node[node.index], position) for node, position in self.context.readers(value))
            self._live_readers[value] = tuple((c, position) for c, position in reading if self.closure.live(c))
        return self._live_readers[value]

    def _stops(self, call: Call, position: int, slot: Slot) -> _Stop:
        """The reason this reader gives, or None when it passes the question on or does not mind."""
        rule = call.rule
        if position < 0:
            name = _named(call).replace("/entry", "")
            return "subgraph-capture", f"{name} takes it into its body, or gives it out of it"
        if call.barrier is not None and call.op.node.role is not Role.PLAIN:
            return "subgraph-capture", f"{_named(call)} chooses between it and what another branch gives out"
        if call.barrier in (IDLE, HIDDEN):
            return "subgraph-capture", f"{_named(call)} reads it, {call.barrier}"
        if call.barrier is not None:
            return "unsupported-operator", f"{_named(call)}: {call.barrier}"
        if self._moves_a_range(call, position, slot):
            return "constant-not-zero", f"{_named(call)} rounds by the range of what it reads, where only zeros can go"
        if (slot.value, slot.axis, slot.index) in self.closure.carriers:
            return "kept-as-carrier", f"{call.op.name} pads with zeros, so one constant channel stands in for all"
        total = call.weighted_sum
        if (
            total is not None
            and position == total.data
            and 1 < total.groups < self.context.shapes[slot.value][slot.axis]
        ):
            return "group-balance", f"{call.op.name}: every group must keep equally many channels"
        if call.sums:
            shared = position in (0, 1) and not any(call.op.sole_user)
            stored = any(self.context.stored(n) is not None for n in call.inputs)
            return (
                ("shared-parameter", f"{call.op.name} shares its weight with another node")
                if shared and stored
                else None
            )
        if rule.aligned and not self._partner_known(call, position, slot) and not self._decided(call, slot):
            affine = rule.affine(call.op)
            joined = affine is not None and len(affine.factors) > 1
            how = "joins it with a value" if joined else "combines it, place by place, with a value"
            return RESIDUAL if joined else ELEMENTWISE, f"{_named(call)} {how} that is alive there"
        passed = any(s.value in call.outputs for s in self.ties.tied(call, slot))
        if (slot.value, slot.axis) in call.whole or (not passed and call.outputs[0] not in self.context.outputs):
            if not self._asked(call, position, slot):
                return None
            if (norm := self._norms.get(call.op.node.index)) is not None:
                name = norm.normalised.name
                return "normalisation-statistics", f"{name} ({norm.name}, decomposed) normalises over this axis"
            return rule.lock_reason, f"{_named(call)} {rule.lock_detail}"
        return None

    def _moves_a_range(self, call: Call, position: int, slot: Slot) -> bool:
        """Whether a slot that is constant, but not 0, enters what is quantised while the model runs."""
        fact, total = self.facts.get(slot.value), call.weighted_sum
        traits = traits_of(call.op.node)
        rounds = traits.shares_scale or (total is not None and traits.jumps and not total.absorbs)
        if position != 0 or not rounds or fact is None or "float" not in (self.context.dtype(slot.value) or ""):
            return False
        known, value = fact.per_index(slot.axis, self.context.shapes[slot.value][slot.axis])
        return bool(known[slot.index] and value[slot.index] != 0)

    def _partner_known(self, call: Call, position: int, slot: Slot) -> bool:
        """Whether all that an elementwise operator joins the slot with is constant there."""
        shapes = self.context.shapes
        for other, name in enumerate(call.inputs):
            if other == position or not name or call.op.static(other) is not None:
                continue
            axis = slot.axis + len(shapes[name]) - len(shapes[slot.value])
            if axis < 0 or shapes[name][axis] == 1:
                continue
            fact = self.facts.get(name)
            if fact is None or not fact.per_index(axis, shapes[name][axis])[0][slot.index]:
                return False
        return True

    def _asked(self, call: Call, position: int, slot: Slot) -> bool:
        """Whether an operator depends on what stands there: not on zeros that it only adds up."""
        ys = [pattern.uniform(self.context.rank(name), True) for name in call.outputs]
        xs, yc = (self.context.constants(self.facts, names) for names in (call.inputs, call.outputs))
        need = call.rule.needs(call.op, ys, xs, yc)[position]
        length = self.context.shapes[slot.value][slot.axis]
        return bool(pattern.per_index(need, slot.axis, length, every=False)[slot.index])

    def _decided(self, call: Call, slot: Slot) -> bool:
        """Whether the result is constant there, whatever the slot is joined with: a product with zero."""
        shape, fact = self.context.shapes.get(call.outputs[0]), self.facts.get(call.outputs[0])
        if shape is None or fact is None:
            return False
        axis = slot.axis + len(shape) - len(self.context.shapes[slot.value])
        return slot.index < shape[axis] and bool(fact.per_index(axis, shape[axis])[0][slot.index])

    def _beside(self, start: Slot) -> tuple[Reason, list[Slot]]:
        """No reader downstream minds: some slot that is cut together with it has one that does. And what was met."""
        met = []
        for slot in self.ties.nearest(start):
            met.append(slot)
            if slot == start or self.context.stored(slot.value) is not None:
                continue
            if slot.value in self.context.graph.inputs or slot.value in self.context.outputs:
                detail = f"it is cut together with an index of {slot.value}, whose shape would change"
                return Reason(INTERFACE, detail, self.ties.path(start, slot)), met
            for call, position in self._readers(slot.value):
                stop = self._stops_beside(call, position, slot)
                if stop is not None:
                    path = self.ties.path(start, slot)
                    return Reason(*(self._in_block(path) if stop[0] == TIED else None) or stop, path), met
        return Reason(TIED, "an index that is cut together with it stays", (start,)), met

    def _in_block(self, path: Sequence[Slot]) -> _Stop:
        """The reason where the way leads from one index of a block that goes as a whole to another."""
        for slot, after in pairwise(path):
            if (slot.value, slot.axis) != (after.value, after.axis):
                continue
            for node in self.context.around(slot.value):
                call = self.context.by_node[node.index]
                size = call.axes.block((slot.value, slot.axis))
                if size > 1:
                    return call.rule.block_reason, f"{_named(call)} {call.rule.block_detail.format(size)}"
        return None

    def _stops_beside(self, call: Call, position: int, slot: Slot) -> _Stop:
        stop = self._stops(call, position, slot)
        if stop is not None and stop[0] not in (RESIDUAL, ELEMENTWISE):
            return stop
        if not call.sums or call.op.static(position) is not None:
            return None
        fact, length = self.facts.get(slot.value), self.context.shapes[slot.value][slot.axis]
        if fact is not None and fact.per_index(slot.axis, length)[0][slot.index]:
            return None
        return TIED, f"it is cut together with an index of {slot.value}, which {_named(call)} reads"


def _named(call: Call) -> str:
    return f"{call.op.name} ({call.op.op_type})"


def kept_dead(closure: Closure, layers: Sequence[LayerVerdicts]) -> Iterator[tuple[LayerVerdicts, int]]:
    """Every dead unit whose index stays."""
    for layer in layers:
        if layer.dead and layer.value in closure.keeps:
            kept = closure.keeps.get((layer.value, layer.audited.axis))
            yield from ((layer, unit) for unit in layer.dead if kept[unit])
