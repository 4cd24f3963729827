"""onnxruntime's operators on quantised values (domain com.microsoft): a float operator between scales.

QLinearAdd, QLinearMul    A, A scale, A zero, B, B scale, B zero, Y scale, Y zero; shapes as in Add and Mul
QLinearSigmoid, QLinearLeakyRelu, QLinearSoftmax, QLinearAveragePool, QLinearGlobalAveragePool
                          X, X scale, X zero, Y scale, Y zero
QLinearConcat             Y scale, Y zero, then X, X scale, X zero of every part
QLinearWhere              condition, A, A scale, A zero, B, B scale, B zero, Y scale, Y zero

An integer q stands for scale * (q - zero), with one scale and one zero point for the whole value. What the float
operator's rule says of those numbers holds here, too; constants come out rounded and saturated. QLinearReduceMean has a
schema, but no kernel on the CPU, so there is nothing to hold a rule against: it stays a barrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, prod
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Kind
from analyzer.ops.affine import Affine
from analyzer.ops.binary import Aligned, WhereRule
from analyzer.ops.concat import ConcatRule
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.norm import Softmax
from analyzer.ops.operator import CONTRIB, Activation, Operator, register
from analyzer.ops.pool import AveragePool, GlobalPool, Spatial
from analyzer.ops.quantize_linear import QUANTISED
from analyzer.ops.unary import ACTIVATIONS, Unary

#: Kernels compute in float32 (about 2^-24 per step) or, on Arm, in fixed point with factors of 22 bits.
_DOUBT = 2.0**-19
#: Between the sum and the saturated integer, kernels pass through 16 bits; nothing is claimed of what may not fit.
_MOST = 2.0**15


def settled(steps: Array, zero: int, limits: np.iinfo[Any], size: float) -> tuple[Mask, Array]:
    """The integers that numbers, counted in steps of the output's scale, come out as, and which of them are certain.

    Kernels differ in the last bits and in what they do with halves, so an integer is certain where every number in
    reach of rounding errors gives it; `size` is how large numbers get on the way, in steps.
    """
    doubt = _DOUBT * (size + float(limits.max) - float(limits.min))
    low, high = (np.clip(np.rint(steps + way) + zero, limits.min, limits.max) for way in (-doubt, doubt))
    return np.asarray((low == high) & (np.abs(steps) < _MOST)), np.asarray(low)


class QLinear(Operator):
    """The rule of the float operator `like`, asked about the numbers that the integers stand for."""

    stated = QUANTISED

    def __init__(self, rule: Operator, like: str, values: tuple[int, ...] = (0,)) -> None:
        self.rule, self.like, self._values = rule, like, values
        self.aligned, self.lock_reason = rule.aligned, rule.lock_reason

    def values(self, node: OpNode) -> Sequence[int]:
        """Positions of the quantised inputs; each is followed by its scale and its zero point."""
        return self._values

    def result(self, node: OpNode) -> int:
        """Position of the output's scale; its zero point follows."""
        return self._values[-1] + 3

    def operands(self, node: OpNode) -> Sequence[int]:
        """Positions of everything that the float operator reads."""
        return self.values(node)

    def size(self, node: OpNode) -> float:
        """How large numbers get on the way, in steps of the output's scale."""
        scale, _ = self.step(node, self.result(node))
        return self.span(node) * sum(self.step(node, p + 1)[0] for p in self.values(node)) / scale

    def step(self, node: OpNode, position: int) -> tuple[float, int]:
        """The scale at this position, and the zero point after it."""
        scale, zero = node.static(position), node.static(position + 1)
        return float(np.ravel(scale)[0]) if scale is not None else 1.0, 0 if zero is None else int(np.ravel(zero)[0])

    def limits(self, node: OpNode) -> np.iinfo[Any]:
        """The range of the output's integers."""
        return np.iinfo(np.asarray(node.static(self.result(node) + 1)).dtype)

    def span(self, node: OpNode) -> float:
        """How far an integer can lie from its zero point."""
        limits = self.limits(node)
        return float(limits.max) - float(limits.min)

    def unsupported(self, node: OpNode) -> str | None:
        """Scales and zero points must be stored, and hold for the whole value."""
        result = self.result(node)
        for position in (*(p + 1 for p in self.values(node)), result):
            scale, zero = node.static(position), node.static(position + 1)
            if scale is None or scale.size != 1 or (node.has(position + 1) and (zero is None or zero.size != 1)):
                return "scales per channel, or computed at run time"
            if not isfinite(float(np.ravel(scale)[0])) or float(np.ravel(scale)[0]) <= 0:
                return "a scale that is no positive number"
        zero = node.static(result + 1)
        if zero is None or zero.dtype.kind not in "iu":
            return "an output without a zero point"
        return self.rule.unsupported(self.plain(node))

    def plain(self, node: OpNode) -> OpNode:
        """The call of the float operator."""
        if "plain" not in node.memo:
            places, quantised = self.operands(node), self.values(node)
            stored = [node.static(p) for p in places]
            node.memo["plain"] = replace(
                node,
                node=replace(node.node, op_type=self.like, domain="", version=int(node.attr("opset", node.version))),
                in_shapes=tuple(node.in_shapes[p] for p in places),
                statics=tuple(
                    array if array is None or p not in quantised else self._number(node, p, np.asarray(array))
                    for p, array in zip(places, stored, strict=True)
                ),
                sole_user=tuple(node.sole_user[p] for p in places if p < len(node.sole_user)),
                x_dtype="float32",
                y_dtype="float32",
                reads=tuple(node.inputs[p] for p in places),
                memo={},
            )
        found: OpNode = node.memo["plain"]
        return found

    def _number(self, node: OpNode, position: int, q: Array) -> Array:
        scale, zero = self.step(node, position + 1)
        return (q.astype(np.float64) - zero) * scale

    def numbers(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """What the float operator's inputs hold."""
        quantised = self.values(node)
        return [
            Constants(xs[p].known, np.where(xs[p].known, self._number(node, p, xs[p].number), 0.0))
            if p in quantised
            else xs[p]
            for p in self.operands(node)
        ]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """The float operator's constants as integers, as far as no rounding error can change them."""
        found = self.rule.constants(self.plain(node), self.numbers(node, xs))[0]
        if not found.any:
            return [Constants.unknown(found.rank)]
        scale, zero = self.step(node, self.result(node))
        sure, value = settled(found.number / scale, zero, self.limits(node), self.size(node))
        known = found.known & sure
        return [Constants(known, np.where(known, value, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        """As the float operator; scales and zero points always."""
        result = [pattern.uniform(len(s or ()), True) for s in node.in_shapes]
        scale, zero = self.step(node, self.result(node))
        made = [Constants(c.known, np.where(c.known, (c.number - zero) * scale, 0.0)) for c in yc]
        asked = self.rule.needs(self.plain(node), ys, self.numbers(node, xs), made)
        for position, mask in zip(self.operands(node), asked, strict=True):
            result[position] = mask
        return result

    def axes(self, node: OpNode) -> Correspondence:
        operands = self.operands(node)
        rest = [name for position, name in enumerate(node.inputs) if name and position not in operands]
        return self.rule.axes(self.plain(node)).also_pinned(rest)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """An input that goes takes its scale and zero point along."""
        edit = self.rule.shrink(self.plain(node), cut)
        gone = [self.operands(node)[p] for p in edit.drop_inputs]
        return replace(edit, drop_inputs=tuple(q for p in gone for q in (p, p + 1, p + 2)))

    def affine(self, node: OpNode) -> Affine | None:
        """That of the float operator, from integers to integers."""
        found, operands = self.rule.affine(self.plain(node)), self.operands(node)
        if found is None:
            return None
        y_scale, y_zero = self.step(node, self.result(node))
        factors, shift = {}, found.shift
        for place, factor in found.factors.items():
            scale, zero = self.step(node, operands[place] + 1)
            factors[operands[place]] = factor * (scale / y_scale)
            shift = shift - factor * scale * zero
        return Affine(factors, shift / y_scale + y_zero, integers=True)

    def activation(self, node: OpNode) -> Activation | None:
        """That of the float operator, as its integers show it."""
        known, limits = self.rule.activation(self.plain(node)), self.limits(node)
        if known is None:
            return None
        scale, zero = self.step(node, self.result(node))
        low, high = (None if b is None else min(zero + b / scale, float(limits.max)) for b in (known.low, known.high))
        return replace(known, low=low, high=high, zero=float(zero), inside=True)


class QLinearSum(QLinear):
    """QLinearAdd: with the lowest integer as zero point it clips what lies below zero, as with a Relu behind it."""

    def activation(self, node: OpNode) -> Activation | None:
        (_, zero), limits = self.step(node, self.result(node)), self.limits(node)
        below = any(self.step(node, p + 1)[1] != limits.min for p in self.values(node))
        if zero != limits.min or not below:  # a sum of what is never negative needs no Relu
            return None
        low, high = float(zero), float(limits.max)
        return Activation(Kind.RECTIFIER, low, high, zero=low, enters=None, fused="Relu")


class QLinearProduct(QLinearSum):
    """QLinearMul: the integers are multiplied before the product is scaled."""

    def size(self, node: OpNode) -> float:
        scales = [self.step(node, p + 1)[0] for p in self.values(node)]
        return float(self.span(node) ** 2 * prod(scales) / self.step(node, self.result(node))[0])


class QLinearActivation(QLinear):
    """QLinearSigmoid, QLinearLeakyRelu: a table of 256 entries, filled by the float operator's kernel."""

    def size(self, node: OpNode) -> float:
        if self.like == "Sigmoid":  # approximated by a fraction of polynomials, to a few millionths
            return 2.0 / self.step(node, self.result(node))[0]
        return super().size(node) * max(1.0, abs(float(node.attr("alpha", 0.01))))


class QLinearPool(QLinear):
    """Averages: a sum over the window, then one division."""

    def size(self, node: OpNode) -> float:
        return super().size(node) * float(prod(node.attr("kernel_shape") or [1]))


class QLinearConcat(QLinear):
    """Joining: every part is brought to the output's scale."""

    def values(self, node: OpNode) -> Sequence[int]:
        return range(2, len(node.inputs), 3)

    def result(self, node: OpNode) -> int:
        return 0


class QLinearWhere(QLinear):
    """Choosing: both operands are brought to the output's scale."""

    def operands(self, node: OpNode) -> Sequence[int]:
        return 0, *self.values(node)


class _EitherLayout(Spatial):
    """Pooling with the channels on axis 1, or on the last."""

    def free_axes(self, node: OpNode) -> list[int]:
        return [0, len(node.x_shape()) - 1 if node.attr("channels_last", 0) else 1]


class _Average(_EitherLayout, AveragePool):
    """AveragePool in either layout."""


class _GlobalAverage(_EitherLayout, GlobalPool):
    """GlobalAveragePool in either layout."""


register(QLinearSum(Aligned(), "Add", (0, 3)), "QLinearAdd", domain=CONTRIB)
register(QLinearProduct(Aligned(), "Mul", (0, 3)), "QLinearMul", domain=CONTRIB)
for _name in ("Sigmoid", "LeakyRelu"):
    register(QLinearActivation(Unary(*ACTIVATIONS[_name]), _name), f"QLinear{_name}", domain=CONTRIB)
register(QLinear(Softmax(), "Softmax"), "QLinearSoftmax", domain=CONTRIB)
register(
    QLinearPool(_Average(), "AveragePool"),
    "QLinearAveragePool",
    domain=CONTRIB,
    traits=replace(QUANTISED, windows=range(1, 1 << 16)),
)
register(QLinearPool(_GlobalAverage(), "GlobalAveragePool"), "QLinearGlobalAveragePool", domain=CONTRIB)
register(QLinearConcat(ConcatRule(), "Concat"), "QLinearConcat", domain=CONTRIB)
register(QLinearWhere(WhereRule(), "Where", (1, 4)), "QLinearWhere", domain=CONTRIB)
