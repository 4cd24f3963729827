"""QAttention (com.microsoft): Attention whose queries, keys and values are sums of integers; floats come out.

X [b, s, i], W [i, (g d + g d + g d)] (bytes), bias like W's columns (float), X scale, W scale, mask, X zero, W zero,
past [2, b, g, p, d], present like past. Scale and zero point of W are one, or one per column. As in other sums of what
was quantised while the model runs, only what lies at the zero point goes, whose scale may be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.fused_attention import PACKED, ProjectedAttention, mask_letters
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.quantised_sums import at_computed, off_zero, stands_for
from analyzer.ops.weighted_sum import WeightedSum

_X_SCALE, _W_SCALE, _X_ZERO, _W_ZERO = 3, 4, 6, 7


class QuantisedAttention(ProjectedAttention):
    """Heads go whole: no attribute says how wide values are."""

    mask, past, summands = 5, 8, 9

    def unsupported(self, node: OpNode) -> str | None:
        single = all(prod(node.x_shape(p)) == 1 for p in (_X_SCALE, _X_ZERO) if node.has(p))
        stored = all(self._letters(node, p) is not None for p in (_W_SCALE, _W_ZERO))
        return super().unsupported(node) if single and stored else "scales or zero points of another shape"

    def letters(self, node: OpNode) -> str:
        scale, zero = (self._letters(node, p) or "_" for p in (_W_SCALE, _W_ZERO))
        return (
            f"X: b s i, W: i {PACKED}, B: {PACKED}, _, {scale}, {mask_letters(node, self.mask)}, _, {zero}, "
            "past: c b g p d -> Y: b s (g v), present: c b g u d"
        )

    def narrows(self, node: OpNode) -> bool:
        return False

    def averaged_sum(self, node: OpNode) -> WeightedSum | None:
        return None

    def entering(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        zero = node.static(_X_ZERO)
        computed = zero is None and node.has(_X_ZERO)
        x = at_computed(xs[0], node.inputs[_X_ZERO]) if computed else off_zero(xs[0], zero)
        known, value = x.per_index(2, node.x_shape()[2])
        return known & (value == 0), np.zeros_like(value)

    def weight(self, node: OpNode) -> Array:
        return stands_for(np.asarray(node.static(1)), node.static(_W_SCALE), node.static(_W_ZERO), axis=1)

    def _letters(self, node: OpNode, position: int) -> str | None:
        """Of a parameter of W: one for all, or one per column; None where it is computed, or of another shape."""
        if not node.has(position):
            return "_"
        array = node.static(position)
        if array is None or array.size not in (1, node.x_shape(1)[-1]) or array.ndim > 1:
            return None
        return "_" if array.size == 1 else f"p: {PACKED}"


register(QuantisedAttention(), "QAttention", domain=CONTRIB)
