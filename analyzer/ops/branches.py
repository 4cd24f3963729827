"""A choice between branches, with what each branch gives out as inputs behind the condition.

If:  C [] or [1], A1 … An [*a] of the branch for true, B1 … Bn [*a] of the other  Y1 … Yn [*a];  the unit axes are
those of what the branches give out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY


class If(Operator):
    """Known where both branches give the same constant, or of the branch that is always taken."""

    lock_reason = "elementwise-partner-alive"
    lock_detail = "chooses between it and what another branch gives out"

    def axes(self, node: OpNode) -> Correspondence:
        outputs = [f"*y{place}" for place in range(len(node.outputs))]
        given = ", ".join(f"G: {letters}" for letters in (*outputs, *outputs))
        return Axes(f"_, {given} -> {', '.join(f'Y: {letters}' for letters in outputs)}")(node)

    def unsupported(self, node: OpNode) -> str | None:
        count = len(node.outputs)
        shapes = [node.in_shapes[1 + place : 2 + 2 * count : count] for place in range(count)]
        apart = any(s is not None and s != made for p, made in enumerate(node.out_shapes) for s in shapes[p])
        return "branches whose results have unequal shapes" if apart else None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        count, found = len(node.outputs), []
        for place in range(count):
            sides = [xs[p] for p in (1 + place, 1 + count + place) if node.has(p)]
            known = np.logical_and.reduce(np.broadcast_arrays(*(s.known for s in sides)))
            agree = known & (sides[0].number == sides[-1].number)
            found.append(Constants(agree, np.where(agree, sides[0].number, 0.0)))
        return found

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked = [*ys, *ys]
        return [pattern.uniform(len(node.in_shapes[0] or ()), node.branch is None), *asked]


register(If(), "If", traits=replace(CONTINUOUS, lengths_from=(0,), geometry=(0,), passes_geometry=True, exact_in=EVERY))
