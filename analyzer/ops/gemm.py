"""Gemm, Einsum and the fused products: contractions with letters of their own.

Gemm: A [m, k]  B [k, n]  C broadcast to [m, n]  Y [m, n], A and B transposed as the attributes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array
from analyzer.ops.contraction import Contraction, Letters, matmul_letters
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.quantize_linear import off_zero, one_step, requantised, stands_for
from analyzer.ops.weighted_sum import WeightedSum


class Gemm(Contraction):
    """Y = alpha * A' * B' + beta * C."""

    bias = 2

    def letters(self, node: OpNode) -> Letters:
        a = (1, 0) if node.attr("transA", 0) else (0, 1)
        b = (2, 1) if node.attr("transB", 0) else (1, 2)
        return Letters(a, b, (0, 2))

    def scale(self, node: OpNode) -> float:
        return float(node.attr("alpha", 1.0))

    def bias_scale(self, node: OpNode) -> float:
        return float(node.attr("beta", 1.0))


class Einsum(Contraction):
    """Einsum of two operands without repeated or summed-alone letters and without an ellipsis."""

    def unsupported(self, node: OpNode) -> str | None:
        equation = _text(node.attr("equation", "")).replace(" ", "")
        left, arrow, right = equation.partition("->")
        terms = left.split(",")
        if len(terms) != 2 or not arrow or "." in equation:
            return "an Einsum that is not a product of two values with an explicit output"
        if any(len(set(t)) != len(t) for t in (*terms, right)):
            return "an Einsum with a repeated letter"
        alone = (set(terms[0]) ^ set(terms[1])) - set(right)
        return "an Einsum that sums one operand alone" if alone else None

    def letters(self, node: OpNode) -> Letters:
        left, _, right = _text(node.attr("equation", "")).replace(" ", "").partition("->")
        a, b = left.split(",")
        return Letters(tuple(map(ord, a)), tuple(map(ord, b)), tuple(map(ord, right)))


class FusedMatMul(Contraction):
    """com.microsoft FusedMatMul: MatMul with transposed operands and a factor."""

    def unsupported(self, node: OpNode) -> str | None:
        batch = node.attr("transBatchA", 0) or node.attr("transBatchB", 0)
        return "transposed batch axes" if batch else None

    def letters(self, node: OpNode) -> Letters:
        shapes = []
        for position, flag in ((0, "transA"), (1, "transB")):
            shape = list(node.x_shape(position))
            if node.attr(flag, 0) and len(shape) > 1:
                shape[-2:] = shape[:-3:-1]
            shapes.append(shape)
        plain = matmul_letters(*shapes)
        sides = [
            (*side[:-2], side[-1], side[-2]) if node.attr(flag, 0) and len(side) > 1 else side
            for side, flag in ((plain.a, "transA"), (plain.b, "transB"))
        ]
        return Letters(sides[0], sides[1], plain.y)

    def scale(self, node: OpNode) -> float:
        return float(node.attr("alpha", 1.0))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class QGemm(Gemm):
    """com.microsoft QGemm: A, scale, zero, B, scale, zero, C (int32), Y scale, Y zero; one scale per value."""

    a, b, bias = 0, 3, 6

    def unsupported(self, node: OpNode) -> str | None:
        """Scales and zero points of the whole value, stored."""
        given = [node.static(i) for i in (1, 2, 4, 5, 7, 8) if node.has(i)]
        if node.attr("alpha", 1.0) != 1.0 or any(p is None or p.size != 1 for p in given):
            return "scales per row, or computed at run time"
        return None if node.has(8) else "a QGemm that gives floats"

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        """Differences from the zero point."""
        return off_zero(xs[position], node.static(position + 2))

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        """Weights rounded to one step."""
        found = super().weighted_sum(node)
        return found and replace(found, step=one_step(node.static(found.weight + 1)))

    def numbers(self, node: OpNode, position: int) -> Array:
        """Differences from the zero point, times the scale."""
        scale, zero = node.static(position + 1), node.static(position + 2)
        return stands_for(np.asarray(node.static(position)), scale, zero, 0)

    def added(self, node: OpNode, length: int) -> Array | None:
        """Counted in steps of the product."""
        return None

    def can_add_bias(self, node: OpNode) -> bool:
        """Only inputs at their zero point go."""
        return False

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """The sum's constants, requantised."""
        found = super().constants(node, xs)[0]
        value = requantised(node, found.number.reshape(-1), (1, 4, 7, 8)).reshape(found.number.shape)
        return [Constants(found.known, np.where(found.known, value, 0.0))]


register(QGemm(), "QGemm", domain=CONTRIB)
register(Gemm(), "Gemm")
register(Einsum(), "Einsum")
register(FusedMatMul(), "FusedMatMul", domain=CONTRIB)
