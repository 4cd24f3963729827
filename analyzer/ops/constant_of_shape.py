"""ConstantOfShape: one number, as often as the input says.

shape [rank]  Y [*lengths];  Y = `value` (0 without it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import STEADY


class ConstantOfShape(Operator):
    """Constant as a whole, whatever its lengths; it stays whole, as they are computed."""

    lock_reason = "shape-computed-at-runtime"

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        number = np.asarray(node.attr("value", 0.0), np.float64).reshape((1,) * rank)
        return [Constants(pattern.uniform(rank, True), number)]


register(ConstantOfShape(), "ConstantOfShape", traits=replace(STEADY, lengths_from=(0,), geometry=(0,)))
