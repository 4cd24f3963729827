"""Products of what is quantised while the model runs, fused: integers go in or are made inside, floats come out.

MatMulIntegerToFloat   A [*m, K], B [K, N], A scale, B scale, A zero, B zero, bias [N]
                       Y = (A - zero) (B - zero) A scale * B scale + bias
DynamicQuantizeMatMul  A [*m, K] (float), B [K, N], B scale, B zero, bias [N]: as behind a DynamicQuantizeLinear of A

Both are onnxruntime's (com.microsoft). Scales and zero points of B are one, or one per column: [N]. As behind
DynamicQuantizeLinear, zeros go, and leave the scale of all others as it is; what was rounded is no constant that could
go into the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.correspondence import Correspondence, Lettered
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.quantised_sums import IntegerProduct, stands_for
from analyzer.ops.quantize_linear import QUANTISED
from analyzer.ops.traits import SUMMING
from analyzer.ops.weighted_sum import WeightedSum


class IntegersToFloat(IntegerProduct):
    """MatMulIntegerToFloat."""

    bias = 6
    b_scale = 3

    def zero(self, position: int) -> int:
        return position + 4

    def unsupported(self, node: OpNode) -> str | None:
        plain = node.static(self.b) is not None and self.per_column(node, self.b_scale)
        return super().unsupported(node) if plain else "a second operand, or its scale, that is computed at run time"

    def per_output(self, node: OpNode) -> list[int]:
        return [*super().per_output(node), *([self.b_scale] if len(node.x_shape(self.b_scale)) == 1 else [])]

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        """Of what is rounded, only zeros stay what they are."""
        found = super().operand(node, xs, position)
        return found if position == self.b else Constants(found.zero, np.zeros((1,) * found.rank))

    def numbers(self, node: OpNode, position: int) -> Array:
        scale, axis = node.static(self.b_scale), self.columns(node, position)
        return stands_for(super().numbers(node, position), scale, None, axis)


class DynamicProduct(IntegersToFloat):
    """DynamicQuantizeMatMul: the range of all of A decides how each of its elements is rounded."""

    bias, b_scale = 4, 2

    def zero(self, position: int) -> int:
        return 3

    def unsupported(self, node: OpNode) -> str | None:
        stored = node.static(self.a) is None and node.static(self.b) is not None
        fits = stored and self.per_column(node, self.b_scale) and self.per_column(node, self.zero(self.b))
        return None if fits else "scales or zero points that are computed, or not one per column"

    def axes(self, node: OpNode) -> Correspondence:
        """All samples have one scale."""
        found = super().axes(node)
        outer = (f"l{i}" for i in self.letters(node).a)
        return replace(found, one=found.one.union(outer)) if isinstance(found, Lettered) else found

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        if position == self.b:
            return super().operand(node, xs, position)
        return Constants(xs[position].zero, np.zeros((1,) * xs[position].rank))

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        result = super().needs(node, ys, xs, yc)
        result[self.a] = ~xs[self.a].zero & pattern.uniform(xs[self.a].rank, bool(ys[0].any()))
        return result

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        """No matrix tells all: each element hears of what sets the range."""
        total = super().weighted_sum(node)
        return total and replace(total, stored_axis=None, dequantised=None)


register(IntegersToFloat(), "MatMulIntegerToFloat", domain=CONTRIB, traits=SUMMING)
_DYNAMIC = replace(QUANTISED, shares_scale=True, sums_products=True)
register(DynamicProduct(), "DynamicQuantizeMatMul", domain=CONTRIB, traits=_DYNAMIC)
