"""Shape and Size: they read how large a value is, never what it holds.

X [*shape]  Y [rank] or a number. An axis whose length some reader looks at stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY


class ShapeRule(Operator):
    """Nothing of X is needed, but X must be there, and its looked-at axes must keep their lengths."""

    lock_reason = "shape-computed-at-runtime"

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        return [pattern.uniform(xs[0].rank, False)]

    def axes(self, node: OpNode) -> Correspondence:
        letters = row("a", len(node.x_shape()))
        used = node.used_axes
        whole = [letter for axis, letter in enumerate(letters) if used is None or axis in used]
        return Axes(f"X: {' '.join(letters)} -> Y: r", whole=" ".join((*whole, "r")), one=" ".join(letters))(node)


_MEASURED = replace(CONTINUOUS, exact_in=EVERY, measures=True)
register(ShapeRule(), "Shape", traits=replace(_MEASURED, lists_lengths=True))
register(ShapeRule(), "Size", traits=_MEASURED)
