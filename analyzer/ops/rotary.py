"""RotaryEmbedding: pairs of places in a head are turned by an angle that depends on the position.

X [b, s, (h d)] or [b, h, s, d] -> Y like X; caches of cosines and sines [m, e], looked up at positions [b, s] or from
one start on [1], or [b, s, e] as they are. Of each head the first 2 e places turn: j with j + e, or 2 j with 2 j + 1
where they are interleaved; the others pass. Inputs: X, cosines, sines, positions (ai.onnx), or X, positions, cosines,
sines (com.microsoft). A head goes whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.attention import AttentionRule
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence, Lettered
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.traits import CONTINUOUS


class Rotary(Operator):
    """What is zero stays zero, and what does not turn passes."""

    stated = replace(CONTINUOUS, geometry=(3,))
    lock_reason = block_reason = AttentionRule.lock_reason
    lock_detail, block_detail = AttentionRule.lock_detail, AttentionRule.block_detail
    cosines, positions = 1, 3

    def unsupported(self, node: OpNode) -> str | None:
        if node.attr("is_packed_batching", 0):
            return "samples packed one after another"
        return None if isinstance(self.axes(node), Lettered) else "heads that shapes and attributes do not show"

    def _turned(self, node: OpNode) -> int:
        """How many places of each head turn."""
        return 2 * node.x_shape(self.cosines)[-1]

    def _heads(self, node: OpNode) -> int:
        shape = node.x_shape()
        if len(shape) == 4:
            return shape[1]
        return int(node.attr("num_heads", 0)) or shape[-1] // max(self._turned(node), 1)

    def axes(self, node: OpNode) -> Correspondence:
        heads, shape = self._heads(node), node.x_shape()
        if len(shape) not in (3, 4) or not heads or (len(shape) == 3 and shape[2] % heads):
            return super().axes(node)
        x = "b h s d" if len(shape) == 4 else "b s (h d)"
        cache = "b s e" if len(node.x_shape(self.cosines)) == 3 else "m e"
        place = "b s" if node.has(self.positions) and len(node.x_shape(self.positions)) == 2 else "w"
        named = [f"cos: {cache}", f"sin: {cache}"]
        named.insert(self.positions - 1, f"at: {place}")
        given = {"h": heads, "d": shape[-1] if len(shape) == 4 else shape[2] // heads}
        return Axes(f"X: {x}, {', '.join(named)} -> Y: {x}", whole="s d m e w", given=given)(node)

    def partners(self, node: OpNode) -> Array:
        """Per index of the last axis the one that it turns with; itself where it passes."""
        turned, heads = self._turned(node), 1 if len(node.x_shape()) == 4 else self._heads(node)
        width = node.x_shape()[-1] // heads
        first = np.arange(turned)
        pairs = first ^ 1 if node.attr("interleaved", 0) else (first + turned // 2) % max(turned, 1)
        inside = np.concatenate([pairs, np.arange(turned, width)])
        return np.asarray((np.arange(heads)[:, np.newaxis] * width + inside).reshape(-1))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x, axis, partners = xs[0], xs[0].rank - 1, self.partners(node)
        passes = pattern.on_axis(partners == np.arange(len(partners)), axis, x.rank)
        still = (x.known & passes) | (x.zero & pattern.take(x.zero, axis, partners))
        return [Constants(still, np.where(still, x.number, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        both = ys[0] | pattern.take(ys[0], ys[0].ndim - 1, self.partners(node))
        return [both, *(pattern.uniform(x.rank, True) for x in xs[1:])]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        if not node.attr("num_heads", 0):
            return Edit()
        axis = 1 if len(node.x_shape()) == 4 else 2
        kept = cut.keeps.get(node.x(0, axis)).reshape(self._heads(node), -1).any(axis=1)
        return Edit() if kept.all() else Edit(attributes={"num_heads": int(kept.sum())})


class FusedRotary(Rotary):
    """The same with positions in front of the caches."""

    stated = replace(CONTINUOUS, geometry=(1,))
    cosines, positions = 2, 1


register(Rotary(), "RotaryEmbedding")
register(FusedRotary(), "RotaryEmbedding", domain=CONTRIB)
