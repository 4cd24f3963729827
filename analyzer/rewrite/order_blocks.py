"""Of blocks of numbers that share a scale only the last need not be full: the one that can do without most goes there.

A product with such a matrix reads its input in the new order, through a gather in front of it. Of this the ordinary cut
takes whole blocks as before, and of the last one whatever nothing needs; `fold_orders` then takes the gather away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.cut import Reordered
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.edit import GATHER
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import Operator, traits_of
from analyzer.walk import Walk
from analyzer.walk.flow import Needs, needs_backward


@dataclass(frozen=True, eq=False)
class BlockOrder:
    """An input of a product in a new order, and the stored tensors that follow it; `places`: see `Reordered`."""

    node: int
    position: int
    value: str
    axis: int
    order: Array
    stored: Mapping[str, Array]
    places: Mapping[str, Array]


def block_orders(walked: Walk) -> list[BlockOrder]:
    """The products of which more can go once their blocks are in another order, unless something else keeps it."""
    context = walked.context
    rounds = max((place for place, call in enumerate(context.calls) if _rounds(call)), default=-1)
    calls = [call for call in context.calls[rounds + 1 :] if _has_blocks(call) and walked.closure.live(call)]
    if not calls:
        return []
    needs = needs_backward(context, walked.facts)
    return [order for call in calls if (order := _order(context, needs, call)) is not None]


def last_block_went(walked: Walk) -> bool:
    """Whether some last block goes as a whole: the one before it is the last then, and can be cut within."""
    for call in filter(_has_blocks, walked.context.calls):
        total = call.weighted_sum
        if total is not None and total.axis is not None and walked.closure.live(call):
            place = call.inputs[total.data], total.axis
            kept = walked.closure.keeps.get(place)
            if not kept[(len(kept) - 1) // call.axes.block(place) * call.axes.block(place) :].any():
                return True
    return False


def order_blocks(
    loaded: LoadedModel, table: ShapeTable, orders: Sequence[BlockOrder]
) -> tuple[LoadedModel, ShapeTable, Reordered]:
    """The model with these blocks in their new order, and what lies in another order."""
    copy, places, new = loaded.copy(), dict[str, Array](), dict[str, tuple[str, tuple[int, ...]]]()
    editor = Editor(copy)
    editor.name_nodes({node.index: node.name for node in loaded.graph.nodes})
    for number, order in enumerate(orders):
        for name, array in order.stored.items():
            editor.set_tensor(name, array)
        places |= order.places
        stem = f"deadunits/order/{number}"
        indices = editor.add_tensor(f"{stem}/indices", order.order)
        name = editor.insert_before(order.node, order.position, GATHER, [indices], {"axis": order.axis}, stem)
        new[name] = order.value, table.shapes[order.value]
    return copy, table.with_values(new), Reordered(places, frozenset(new))


def _has_blocks(call: Call) -> bool:
    return type(call.rule).in_order is not Operator.in_order


def _rounds(call: Call) -> bool:
    """Whether a sum of products rounds on the way: of another last digit, as of another order, it makes a step."""
    traits = traits_of(call.op.node)
    return traits.sums_products and traits.jumps


def _order(context: Context, needs: Needs, call: Call) -> BlockOrder | None:
    total = call.weighted_sum
    if total is None or total.axis is None:
        return None
    position, axis = total.data, total.axis
    value, size = call.inputs[position], call.axes.block((call.inputs[position], axis))
    length = context.shapes[value][axis]
    spare = ~_asked(needs, context, value, axis, length)
    starts = np.arange(0, length, size)
    counts = np.add.reduceat(spare.astype(np.int64), starts)
    stays = np.flatnonzero(counts < np.diff([*starts, length]))  # others go as a whole
    if not stays.size:
        return None
    best = int(stays[counts[stays].argmax()])
    if counts[best] <= counts[stays[-1]]:
        return None
    blocks = np.array([*(block for block in range(len(starts)) if block != best), best])
    stored = {call.inputs[p]: array for p, array in call.rule.in_order(call.op, blocks).items()}
    alone = all(
        call.op.sole_user[call.inputs.index(name)] and name in context.graph.initializer_names for name in stored
    )
    if not stored or not alone:
        return None
    order = (blocks[:, np.newaxis] * size + np.arange(size)).reshape(-1)
    return BlockOrder(call.op.node.index, position, value, axis, order[order < length], stored, _places(call, blocks))


def _asked(needs: Needs, context: Context, value: str, axis: int, length: int) -> Mask:
    """Whether some output depends on what an index holds."""
    mask = needs.of(value, context.rank(value))
    return np.broadcast_to(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)), (length,))


def _places(call: Call, blocks: Array) -> dict[str, Array]:
    """Where the elements of the stored tensors come from that have an axis of blocks."""
    places = {}
    for position, name in enumerate(call.inputs):
        shape = call.op.in_shapes[position] or ()
        if len(shape) > 1 and shape[1] == len(blocks) and call.op.static(position) is not None:
            places[name] = np.arange(np.prod(shape)).reshape(shape)[:, blocks]
    return places
