"""A factor that a value lacks, taken up by what is stored further on.

As of a mean of squares over d of D numbers, which is to be d / D times as large: epsilon is divided by that, what comes
out of the root and its reciprocal lacks (d / D)^-1/2, and the learned scale takes it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array
from analyzer.ops.context import Call, Context
from analyzer.ops.node_edit import cut_array


@dataclass(frozen=True, eq=False)
class Operand:
    """A stored operand of a call as it becomes, cut."""

    call: Call
    position: int
    array: Array


def taken_up(
    context: Context, keeps: Keeps, call: Call, factor: float, held: Collection[tuple[int, int]]
) -> list[Operand] | None:
    """The operands by which the nodes behind a call do without a factor of its output; None where they cannot.

    `held` are operands (node, position) that are stored anew for other reasons.
    """
    operands = list[Operand]()
    while True:
        readers = context.graph.consumers.get(call.outputs[0], ())
        if len(readers) != 1 or readers[0][1] < 0 or call.outputs[0] in context.outputs:
            return None
        ((node, position),) = readers
        call = context.by_node[node.index]
        scaling = None if call.barrier is not None else call.rule.scaling(call.op, position)
        if scaling is None:
            return None
        power = factor**scaling.power
        for place, by in ((scaling.along, 1 / factor), (scaling.takes, power)):
            if place is None:
                continue
            array = _times(context, keeps, call, place, by)
            if array is None or (node.index, place) in held:
                return None
            operands.append(Operand(call, place, array))
        if scaling.takes is not None:
            return operands
        factor = power


def _times(context: Context, keeps: Keeps, call: Call, position: int, factor: float) -> Array | None:
    """What stays of a stored operand, times a factor; None where it is computed, or its type has no room for that."""
    name, stored = call.inputs[position], call.op.static(position)
    if stored is None or context.stored(name) is None:
        return None
    left = cut_array(stored, keeps.vectors(name))
    with np.errstate(over="ignore"):
        scaled = (left.astype(np.float64) * factor).astype(stored.dtype)
    same = np.isfinite(scaled.astype(np.float64)) == np.isfinite(left.astype(np.float64))
    return scaled if same.all() and ((scaled == 0) == (left == 0)).all() else None
