"""ConstantOfShape: one number, as often as the input says.

shape [rank]  Y [*lengths];  Y = `value` (0 without it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.movements import respell
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import STEADY


class ConstantOfShape(Operator):
    """Constant as a whole, whatever its lengths; those that follow no other axis and are not spelled out stay."""

    lock_reason = "shape-computed-at-runtime"

    def axes(self, node: OpNode) -> Correspondence:
        letters, target = row("a", len(node.y_shape())), node.target or ()
        spelled = len(target) == len(letters)
        whole = [i for axis, i in enumerate(letters) if not spelled or target[axis] is None]
        return Axes(f"_ -> Y: {' '.join(letters)}", whole=" ".join(whole))(node)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """A spelled-out length is spelled anew."""
        return respell(node, cut, 0)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        number = np.asarray(node.attr("value", 0.0), np.float64).reshape((1,) * rank)
        return [Constants(pattern.uniform(rank, True), number)]


register(ConstantOfShape(), "ConstantOfShape", traits=replace(STEADY, lengths_from=(0,), geometry=(0,), target=0))
