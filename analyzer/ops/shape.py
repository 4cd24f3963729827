"""Shape and Size: they read how large a value is, never what it holds.

X [*shape]  Y [rank] or a number. An axis whose length some reader looks at stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Mask
from analyzer.ops.axes import Axes as Said
from analyzer.ops.axes import row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode, keep_one
from analyzer.ops.operator import Operator, register


class ShapeRule(Operator):
    """Nothing of X is needed, but X must be there, and its looked-at axes must keep their lengths."""

    lock_reason = "shape-computed-at-runtime"

    def measured(self, node: OpNode) -> tuple[int, ...] | None:
        axes = range(len(node.x_shape()))
        return tuple(axes[int(node.attr("start", 0)) : node.attr("end", None)] if node.op_type == "Shape" else axes)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        return [pattern.uniform(xs[0].rank, False)]

    def axes(self, node: OpNode) -> Correspondence:
        letters = row("a", len(node.x_shape()))
        used = node.used_axes if node.op_type == "Shape" else None
        whole = [letter for axis, letter in enumerate(letters) if used is None or axis in used]
        return Said(f"X: {' '.join(letters)} -> Y: r", whole=" ".join((*whole, "r")), one=" ".join(letters))(node)

    def ties(self, node: OpNode, keeps: Keeps) -> None:
        used = node.used_axes if node.op_type == "Shape" else None
        for axis in range(len(node.x_shape())):
            ref = (node.inputs[0], axis)
            if used is None or axis in used:
                keeps.pin_axis(ref)
            else:
                keep_one(keeps, ref)
        keeps.pin(node.outputs[0])


register(ShapeRule(), "Shape", "Size")
