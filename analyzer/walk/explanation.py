"""Answers to "why is this unit removable, or not" and "why does this parameter go", as chains of sentences."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyzer.errors import InputError
from analyzer.facts.audit import LayerVerdicts, Removable
from analyzer.facts.cut import Reordered
from analyzer.facts.evidence import Evidence
from analyzer.facts.wording import unit_ranges
from analyzer.walk.reasons import REFUTED, Reasons
from analyzer.walk.tie_graph import Slot

LISTED = 32  # runs of indices that one line names
PAIRED = (
    "the directions of the layer are paired, so what goes of one lies at other indices than what goes of the other; "
    "the mask lists the elements (deadunits prune --masks)"
)
_WHEN = {
    Evidence.STRUCTURAL: "whatever the input, if it stays finite on the way (structural)",
    Evidence.PROVEN: "for every input of the domain (proven)",
    Evidence.OBSERVED: "on all {} samples",
    Evidence.REFUTED: "on all {} samples, but not for every input of the domain (refuted)",
}


def unit(reasons: Reasons, layers: Sequence[LayerVerdicts], reordered: Reordered, value: str, index: int) -> list[str]:
    """The chain from one unit to what it frees, or to the reason why it stays.

    Raises:
        InputError: the value is not audited, or has no such unit.
    """
    layer = next((la for la in layers if la.value == value), None)
    if layer is None:
        near = ", ".join(la.value for la in layers[:5])
        raise InputError(f"{value} is not an audited value: choose one of {near}, … (see `deadunits audit`).")
    if not 0 <= index < layer.units:
        raise InputError(f"{value} has units 0 to {layer.units - 1}, not {index}.")
    slot = Slot(value, layer.audited.axis, index)
    evidence = layer.evidence_of(index)
    if evidence is None:
        return [f"Unit {index} of {value} is not dead: {_state(layer, index)}."]
    when = _WHEN[evidence].format(layer.samples)
    module = f", module {layer.audited.module}" if layer.audited.module else ""
    unit_text = f"Unit {index} of {value} ({layer.audited.op}, node {layer.audited.node}{module})"
    lines = [f"{unit_text} is {layer.stays_at[index]:g} {when}."]
    if reasons.closure.keeps.get((value, layer.audited.axis))[index]:
        reason = REFUTED if evidence is Evidence.REFUTED else reasons.of(slot)
        readers = reasons.context.graph.consumers
        own = itertools.takewhile(
            lambda after: all(node.name not in reordered.nodes for node, _ in readers.get(after.value, ())),
            reason.path[1:],
        )  # behind nodes that were added indices are no longer the original's
        lines += [f"It is tied to {after}." for after in own]
        return [*lines, f"It stays: {reason.code} ({reason.detail})."]
    lines.append("It can go.")
    return lines + _freed(reasons, reordered, slot)


def _state(layer: LayerVerdicts, index: int) -> str:
    for name in ("near_dead", "saturated", "always_on", "nonfinite"):
        if index in getattr(layer, name):
            return name.replace("_", "-")
    return "alive" if layer.samples else "no probe was run and the weights alone do not decide it"


def _freed(reasons: Reasons, reordered: Reordered, slot: Slot) -> list[str]:
    ties, keeps = reasons.ties, reasons.closure.keeps
    freed: dict[tuple[str, int, str], list[int]] = {}
    paired: dict[str, None] = {}
    for end in ties.nearest(slot):
        if reasons.context.stored(end.value) is None or keeps.get((end.value, end.axis))[end.index]:
            continue
        over = [ties.over(a, b) for a, b in itertools.pairwise(ties.path(slot, end))]
        if end.value in reordered.places:
            paired[end.value] = None
        if end.value in reordered.places or not reordered.nodes.isdisjoint(over):
            continue
        freed.setdefault((end.value, end.axis, " → ".join(over)), []).append(end.index)
    lines = [
        f"→ {over} frees index {unit_ranges(tuple(sorted(indices)), LISTED)} on axis {axis} of {value}."
        for (value, axis, over), indices in freed.items()
    ]
    if paired:
        lines.append(f"→ parts of {', '.join(sorted(paired))}: {PAIRED}.")
    return lines or ["It frees nothing that is stored: what it was computed from is still needed elsewhere."]


def parameter(
    reasons: Reasons, layers: Sequence[LayerVerdicts], removable: Removable, reordered: Reordered, name: str
) -> list[str]:
    """Which dead or unneeded units free the indices of one stored tensor.

    Raises:
        InputError: the model stores no tensor of this name.
    """
    graph = reasons.context.graph
    if name not in graph.initializer_names:
        raise InputError(f"The model stores no tensor {name}: see the names under `tensors` in the JSON report.")
    found = next((t for t in removable.tensors if t.name == name), None)
    if found is None:
        return [f"Nothing of {name} {list(graph.initializer_shape(name))} can go."]
    lines = [f"{name} {list(found.shape)} shrinks to {list(found.kept)}: {found.removable} entries go."]
    if 0 in found.kept:
        return [*lines, "Nothing that stays reads it any more."]
    if name in reordered.places:
        return [*lines, f"{PAIRED[0].upper()}{PAIRED[1:]}."]
    audited = {layer.value: layer for layer in layers}
    for axis, indices in enumerate(found.removed):
        causes: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for index in indices:
            cause = _cause(reasons, audited, Slot(name, axis, index))
            causes.setdefault((cause.value, cause.why), []).append((index, cause.index))
        for (value, why), pairs in causes.items():
            mine, theirs = (unit_ranges(tuple(sorted(set(side))), LISTED) for side in zip(*pairs, strict=True))
            which = "the same index" if mine == theirs else f"index {theirs}"
            lines.append(f"Axis {axis}, index {mine}: belongs to {which} of {value}, {why}.")
    return lines


@dataclass(frozen=True, slots=True)
class _Cause:
    """What index of what value frees an index of a tensor, and why."""

    value: str
    index: int
    why: str


def _cause(reasons: Reasons, audited: Mapping[str, LayerVerdicts], slot: Slot) -> _Cause:
    context, facts = reasons.context, reasons.facts
    start = next((Slot(c.name, slot.axis, slot.index) for c in context.copies.values() if c.source == slot.value), slot)
    ties = [*reasons.ties.nearest(start)]
    for end in ties:
        layer = audited.get(end.value)
        if layer is not None and end.axis == layer.audited.axis and layer.is_dead[end.index]:
            return _Cause(end.value, end.index, f"a dead unit ({layer.stays_at[end.index]:g})")
    for end in ties:
        found = facts.get(end.value)
        if found is not None and context.stored(end.value) is None and found.any:
            known, value = found.per_index(end.axis, context.shapes[end.value][end.axis])
            if known[end.index]:
                return _Cause(end.value, end.index, f"which is constant ({value[end.index]:g})")
    where = next((e for e in ties if context.stored(e.value) is None), slot)
    return _Cause(where.value, where.index, "which nothing that stays needs any more")
