"""Gemm, Einsum and the fused products: contractions with letters of their own.

Gemm: A [m, k]  B [k, n]  C broadcast to [m, n]  Y [m, n], A and B transposed as the attributes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.graph import Node
from analyzer.ops.contraction import Contraction, MatMul
from analyzer.ops.largest import Stored, most, shifted, weighted_sum
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.product_letters import Letters, matmul_letters


class Gemm(Contraction):
    """Y = alpha * A' * B' + beta * C."""

    bias = 2

    def letters(self, node: OpNode) -> Letters:
        a = (1, 0) if node.attr("transA", 0) else (0, 1)
        b = (2, 1) if node.attr("transB", 0) else (1, 2)
        return Letters(a, b, (0, 2))

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        alpha, beta = (most((1.0, abs(float(node.attr(name, 1.0))))) for name in ("alpha", "beta"))
        if xs[0] is None or node.domain:
            return None
        total = weighted_sum(xs[0], stored(1), -1 if node.attr("transB", 0) else -2)
        return shifted(None if total is None else total * alpha, node.inputs, stored, beta)

    def scale(self, node: OpNode) -> float:
        return float(node.attr("alpha", 1.0))

    def bias_scale(self, node: OpNode) -> float:
        return float(node.attr("beta", 1.0))


class Einsum(Contraction):
    """Einsum of two operands without repeated or summed-alone letters and without an ellipsis."""

    def unsupported(self, node: OpNode) -> str | None:
        equation = node.attr("equation", "").replace(" ", "")
        left, arrow, right = equation.partition("->")
        terms = left.split(",")
        if len(terms) != 2 or not arrow or "." in equation:
            return "an Einsum that is not a product of two values with an explicit output"
        if any(len(set(t)) != len(t) for t in (*terms, right)):
            return "an Einsum with a repeated letter"
        alone = (set(terms[0]) ^ set(terms[1])) - set(right)
        return "an Einsum that sums one operand alone" if alone else None

    def letters(self, node: OpNode) -> Letters:
        left, _, right = node.attr("equation", "").replace(" ", "").partition("->")
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


_READ = (0, 1)  # the third is not read where it counts for nothing
register(Gemm(), "Gemm", traits=replace(MatMul.stated, carries_nan=_READ, carries_infinity=_READ))
register(Einsum(), "Einsum")
register(FusedMatMul(), "FusedMatMul", domain=CONTRIB, traits=MatMul.stated)
