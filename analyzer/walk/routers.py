"""Routers of mixtures of experts, and what hangs on the experts that they choose."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.ops.context import Call, Context
from analyzer.ops.routing import Stacked


@dataclass(frozen=True, slots=True, eq=False)
class Router:
    """One node that chooses among experts.

    `name` is the value that says which, the places of the largest scores, or what a node gives that chooses among
    `stacked` experts inside; `looked_at` tells which were chosen: the same, or the scores, which other nodes may choose
    by as well. `axis` of the scores counts the experts. `tables` are stored tensors of which each
    expert has a row, with what their look-ups give; `marks` are values that are zero but for one expert: their node,
    and the expert at each place, as a pattern.
    """

    name: str
    looked_at: str
    call: Call
    axis: int
    experts: int
    chosen: int
    stacked: Stacked | None = None
    tables: tuple[tuple[str, tuple[str, ...]], ...] = ()
    marks: tuple[tuple[Call, Array], ...] = ()

    @property
    def module(self) -> str:
        """The module of the training code that chooses; empty where that is not known."""
        return self.call.op.node.scope or ""

    @property
    def tensors(self) -> tuple[str, ...]:
        """Stored tensors that have a row for each expert."""
        held = () if self.stacked is None else self.stacked.stored(self.call.op.node).values()
        return (*held, *(table for table, _ in self.tables))

    @property
    def names(self) -> tuple[str, ...]:
        """What the user may call it."""
        named = (self.name, self.module, self.call.op.name, *self.call.outputs, *(table for table, _ in self.tables))
        return tuple(dict.fromkeys(filter(None, named)))


def routers(context: Context) -> list[Router]:
    """The routers of a model, in order; of those within branches and loops nothing is known."""
    calls = (call for call in context.calls if call.barrier is None and not call.op.node.place)
    return [router for call in calls if (router := _router(context, call)) is not None]


def _router(context: Context, call: Call) -> Router | None:
    stacked, picks = call.rule.experts(call.op), call.rule.picks(call.op)
    if stacked is not None:
        scores, count = call.inputs[stacked.scores], call.op.x_shape(stacked.scores)[1]
        return Router(call.outputs[0], scores, call, 1, count, stacked.chosen, stacked)
    if picks is None or call.outputs[picks[0]] in ("", *context.graph.outputs):
        return None
    place, axis = picks
    count, ids = call.op.x_shape()[axis], call.outputs[place]
    free = call.op.in_free[0] if call.op.in_free else ()
    tables, marks = _read_by(context, ids, count)
    if axis in free or count < 2 or not (tables or marks):
        return None
    chosen = prod(call.op.y_shape(place)) * count // max(prod(call.op.x_shape()), 1)
    listed = tuple((name, tuple(outputs)) for name, outputs in tables.items())
    return Router(ids, ids, call, axis, count, max(chosen, 1), None, listed, tuple(marks))


def _read_by(context: Context, ids: str, count: int) -> tuple[dict[str, list[str]], list[tuple[Call, Array]]]:
    """The tables that are looked up by ids of so many experts, and the marks that are made of them."""
    tables, marks, pending = dict[str, list[str]](), list[tuple[Call, Array]](), [ids]
    while pending:
        name = pending.pop()
        for node, position in context.graph.consumers.get(name, ()):
            call = context.by_node[node.index]
            if position < 0 or call.barrier is not None or node.place:
                continue
            if position == 1 and call.rule.looks_up(call.op):
                table = context.stored(call.inputs[0])
                if table is not None and context.graph.initializer_shape(table)[0] == count:
                    tables.setdefault(table, []).append(call.outputs[0])
            elif (numbers := call.rule.marks(call.op, position)) is not None:
                if np.isin(numbers, np.arange(count)).all():
                    marks.append((call, numbers))
            elif position == 0 and (call.rule.keeps_empty or _same(call)):  # nothing comes in between
                pending += call.outputs
    return tables, marks


def _same(call: Call) -> bool:
    """Whether whole numbers come out as they went in."""
    return call.rule.same_unit and call.rule.listed(call.op.node, (0,), ()) is not None
