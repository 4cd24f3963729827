"""DepthToSpace and SpaceToDepth: channels become blocks of positions, and blocks of positions channels.

X [batch, channels, height, width]  Y [batch, channels / size^2, height * size, width * size], or the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.algebra.pattern import Shape
from analyzer.ops.move import Chain, MoveRule, Reshape, Transpose
from analyzer.ops.node import OpNode
from analyzer.ops.operator import register


def _steps(node: OpNode) -> tuple[Shape, tuple[int, ...]]:
    """DepthToSpace and SpaceToDepth as reshape, transpose, reshape: the middle shape and the permutation."""
    batch, channels, height, width = node.x_shape()
    size = int(node.attr("blocksize"))
    if node.op_type == "SpaceToDepth":
        return (batch, channels, height // size, size, width // size, size), (0, 3, 5, 1, 2, 4)
    mode = node.attr("mode", "DCR")
    if mode == "CRD":
        return (batch, channels // size**2, size, size, height, width), (0, 1, 4, 2, 5, 3)
    return (batch, size, size, channels // size**2, height, width), (0, 3, 4, 1, 5, 2)


class BlockRule(MoveRule):
    """DepthToSpace and SpaceToDepth."""

    def chains(self, node: OpNode) -> list[Chain]:
        middle, perm = _steps(node)
        after = tuple(middle[a] for a in perm)
        return [[Reshape(node.x_shape(), middle), Transpose(perm), Reshape(after, node.y_shape())]]

    def whole_x(self, node: OpNode) -> Sequence[int]:
        return 2, 3

    def whole_y(self, node: OpNode) -> Sequence[int]:
        return 2, 3


register(BlockRule(), "DepthToSpace", "SpaceToDepth")
