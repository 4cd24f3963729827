"""Gemm, Einsum and the fused products: contractions with letters of their own.

Gemm: A [m, k]  B [k, n]  C broadcast to [m, n]  Y [m, n], A and B transposed as the attributes say.
"""

from __future__ import annotations

from analyzer.ops.contraction import Contraction, Letters, matmul_letters
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register


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


register(Gemm(), "Gemm")
register(Einsum(), "Einsum")
register(FusedMatMul(), "FusedMatMul", domain=CONTRIB)
