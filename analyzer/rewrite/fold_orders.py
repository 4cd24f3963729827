"""Without the gathers that take all units as they are, or in another order, if the units can be made in that order.

All that is stored along the axis of the units, and along axes that keep the same indices, changes places; so nothing
between may read it in the order that it had.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np

from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Array
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.edit import GATHER
from analyzer.ops.context import Call, Context
from analyzer.ops.correspondence import Lettered
from analyzer.ops.operator import traits_of


def fold_orders(loaded: LoadedModel, table: ShapeTable, names: Collection[str]) -> tuple[LoadedModel, frozenset[str]]:
    """The model without those of the nodes of these names, gathers, in whose order units can be made.

    And the values that are in another order now.
    """
    context, copy, moved = Context(loaded.graph, table), loaded.copy(), set[Ref]()
    editor, stored = Editor(copy), dict[str, Array]()
    for call in context.calls:
        if call.op.op_type != GATHER or call.op.name not in names or call.barrier is not None:
            continue
        value, axis, order = call.inputs[0], int(call.op.attr("axis", 0)), call.op.static(1)
        own = np.arange(context.shapes[value][axis])
        if order is None or not np.array_equal(np.sort(order), own) or axis in context.free_axes(value):
            continue
        tied = [] if np.array_equal(order, own) else _in_one_order(context, (value, axis), call)
        if tied is None or moved.intersection(tied):  # each axis changes places once
            continue
        moved.update(tied)
        for name, along in tied:
            array = stored.get(name, loaded.graph.constant(name) if name in loaded.graph.initializer_names else None)
            if array is not None:
                stored[name] = array.take(order, along)
                editor.set_tensor(name, stored[name])
        editor.replace_value(call.outputs[0], value)
        editor.drop_node(call.op.node.index)
    editor.finish()
    return copy, frozenset(name for name, _ in moved if name not in stored)


def _in_one_order(context: Context, start: Ref, reader: Call) -> list[Ref] | None:
    """The axes, of stored tensors too, that are in one order with this one; None where that order is not free.

    `reader` is the only one that minds; what it gives must not be in that order as well.
    """
    graph = context.graph
    fixed = {*reader.outputs, *graph.inputs, *graph.outputs, *graph.defaults, *graph.inside, *context.copies}
    found, pending = {start}, [start]
    while pending:
        name, axis = pending.pop()
        if name in fixed or axis in context.free_axes(name):
            return None
        for node in context.around(name):
            call = context.by_node[node.index]
            if call is reader or traits_of(node).measures:
                continue
            beside = _beside(call, (name, axis))
            if beside is None:
                return None
            pending += [ref for ref in beside if ref not in found]
            found.update(beside)
    return sorted(found)


def _beside(call: Call, ref: Ref) -> list[Ref] | None:
    """The axes of a call's values that are in one order with this one; None where the call minds the order."""
    axes, total = call.axes, call.weighted_sum
    if call.barrier is None and call.rule.moves:
        pairs = [pair for pair in axes.same() if ref in pair]
        return [other for pair in pairs for other in pair if other != ref] or None
    plain = call.rule.same_unit or call.rule.aligned or (total is not None and total.groups == 1)
    if call.barrier is not None or not plain or not isinstance(axes, Lettered):
        return None
    named = zip((*call.inputs, *call.outputs), (*call.op.in_shapes, *call.op.out_shapes), strict=True)
    if any(name in axes.pinned and prod(shape or ()) > 1 for name, shape in named):
        return None
    letters = dict(axes.values)[ref[0]][ref[1]]
    if len(letters) != 1 or letters[0] in axes.whole | axes.own:
        return None
    if any(letters[0] in group for group in axes.places if len(group) > 1):
        return None
    return [place for place, _ in axes.places[letters]]
