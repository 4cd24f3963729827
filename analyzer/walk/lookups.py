"""Stored tables whose rows are looked up by ids that the model is fed: embeddings of a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from analyzer.ops.context import Call, Context


@dataclass(frozen=True, slots=True)
class Table:
    """A table of `rows` rows of `numbers` of `itemsize` bytes each, and what else needs all of them.

    `lookups` are (output, ids, the input that ids come from).
    """

    name: str
    rows: int
    numbers: int
    itemsize: int
    lookups: tuple[tuple[str, str, str], ...]
    needed: str


def tables(context: Context) -> list[Table]:
    """The tables of a model, in the order of their first look-up, with why rows of one cannot go."""
    found: dict[str, list[Call]] = {}
    for call in context.calls:
        if call.barrier is None and call.rule.looks_up(call.op) and not call.op.node.place:
            name = context.stored(call.inputs[0])
            ids = call.inputs[1]
            if name is not None and context.graph.initializer_dtype(name).kind in "fV" and _fed(context, ids):
                found.setdefault(name, []).append(call)
    return [_table(context, name, calls) for name, calls in found.items()]


def _table(context: Context, name: str, calls: list[Call]) -> Table:
    rows, *width = context.graph.initializer_shape(name)
    looking = {call.op.node.index for call in calls}
    others = (context.by_node[node.index] for node, _ in context.graph.consumers[name] if node.index not in looking)
    needed = next((f"{other.op.name} {_use(other)}" for other in others), "")
    lookups = tuple((call.outputs[0], call.inputs[1], _fed(context, call.inputs[1])) for call in calls)
    itemsize = context.graph.initializer_dtype(name).itemsize
    needed = "an output of the model" if name in context.outputs else needed
    return Table(name, rows, prod(width), itemsize, lookups, needed)


def _use(call: Call) -> str:
    """What a node does with a table, where that is no look-up by ids that are counted."""
    if call.barrier is not None or not call.rule.looks_up(call.op):
        return "reads the whole table"
    if call.op.node.place:
        return "looks rows up within a branch or a loop, where ids are not counted"
    return "looks rows up by numbers that the model computes"


def _fed(context: Context, name: str) -> str:
    """The input whose numbers these are, moved at most; empty: positions that a model counts go on beyond the data."""
    while name in context.graph.producer:
        call = context.by_node[context.graph.producer[name].index]
        if call.barrier is not None or not (call.rule.moves or call.rule.same_unit) or call.op.node.place:
            return ""
        name = call.inputs[0]
    return name if name in context.graph.inputs else ""
