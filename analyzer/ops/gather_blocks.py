"""GatherBlockQuantized (com.microsoft): rows of a table stored in few bits, looked up and dequantised; an embedding.

data [rows, K]  indices [*q]  scales, zero points [rows, blocks]  Y [*q, K].  Bytes (uint8) pack `8 / bits` numbers
along the last axis, of data and of zero points. Rows stay; columns go in whole blocks, as of MatMulNBits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.traits import STEADY

_DATA, _INDICES, _SCALES, _ZEROS = range(4)


class GatherBlocks(Operator):
    """A look-up of rows."""

    lock_reason = "packed-in-blocks"
    lock_detail = "holds numbers in blocks, and the last one is not full"

    def unsupported(self, node: OpNode) -> str | None:
        if any(node.static(p) is None for p in (_DATA, _SCALES, _ZEROS) if node.has(p)):
            return "a table that is computed at run time"
        rank = len(node.x_shape(_SCALES))
        by_rows = (node.attr("gather_axis", 0), node.attr("quantize_axis", 1) % rank, rank) == (0, 1, 2)
        return None if by_rows else "a table of other than rows that are gathered, in blocks of columns"

    def axes(self, node: OpNode) -> Correspondence:
        """Blocks whose zero points share a byte, `i` of them, go together."""
        blocks, numbers = node.x_shape(_SCALES)[1], node.y_shape()[-1]
        points = node.x_shape(_ZEROS)[1] if node.has(_ZEROS) else blocks
        even = numbers == blocks * int(node.attr("block_size", 128)) and blocks % points == 0
        places = " ".join(row("q", len(node.x_shape(_INDICES))))
        block = "g i" if blocks > points else "g"
        data, scales, zeros, y = (f"({block} b)", f"({block})", "g", f"({block} s)") if even else ("d", "e", "z", "k")
        return Axes(
            f"data: v {data}, indices: {places}, scales: v {scales}, zeros: v {zeros} -> Y: {places} {y}",
            whole="v i b s d e z k",
            one="g",
            made="g i s k",
        )(node)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        """Of every row the blocks that are asked for."""
        asked = np.broadcast_to(ys[0].any(axis=tuple(range(ys[0].ndim - 1))), node.y_shape()[-1:])
        size, packed = int(node.attr("block_size", 128)), 8 // int(node.attr("bits", 4))
        blocks = np.logical_or.reduceat(asked, np.arange(0, len(asked), size))
        numbers = np.arange(node.x_shape(_DATA)[1]) * (packed if node.x_shape(_DATA)[1] < len(asked) else 1)
        result = [pattern.uniform(x.rank, bool(asked.any())) for x in xs]
        result[_DATA], result[_SCALES] = blocks[numbers // size][np.newaxis], blocks[np.newaxis]
        if node.has(_ZEROS):
            apart = node.x_shape(_ZEROS)[1] == len(blocks)
            result[_ZEROS] = np.logical_or.reduceat(blocks, np.arange(0, len(blocks), 1 if apart else packed))[
                np.newaxis
            ]
        return result


register(GatherBlocks(), "GatherBlockQuantized", domain=CONTRIB, traits=replace(STEADY, packed=(0, 3), geometry=(1,)))
