"""Sums over integers: products of differences from the zero points, for convolutions and matrices.

ConvInteger     X, W, x zero, w zero                                        MatMulInteger  A, B, a zero, b zero
QLinearConv     X, scale, zero, W, scale, zero, y scale, y zero, B (int32)  one scale, or one per output channel, of W
QLinearMatMul   A, scale, zero, B, scale, zero, y scale, y zero
QGemm           A, scale, zero, B, scale, zero, C (int32), y scale, y zero  (com.microsoft)

Whole numbers wrap around: only what lies at its zero point can go, since it adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Kind
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.gemm import Gemm
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Activation, register
from analyzer.ops.quantize_linear import QUANTISED
from analyzer.ops.traits import SPATIAL


def off_zero(x: Constants, zero: Array | None) -> Constants:
    """Constants as they enter a product: with the zero point, one for all, taken off."""
    return x if zero is None else Constants(x.known, np.where(x.known, x.number - float(np.ravel(zero)[0]), 0.0))


def stands_for(q: Array, scale: Array | None, zero: Array | None) -> Array:
    """The numbers that stored integers stand for: one scale and zero point for all, or per index of axis 0."""

    def parameter(array: Array | None, default: float) -> Array:
        flat = np.full(1, default) if array is None else np.asarray(array, np.float64).reshape(-1)
        return flat if flat.size == 1 else pattern.on_axis(flat, 0, q.ndim)

    return np.asarray((q.astype(np.float64) - parameter(zero, 0.0)) * parameter(scale, 1.0))


def one_step(scale: Array | None) -> float | None:
    """The step to which a whole tensor was rounded; None where each unit has one of its own, fitted to it."""
    return None if scale is None or scale.size != 1 else float(np.ravel(scale)[0])


def clipped_sum(point: Array | None) -> Activation | None:
    """A sum of integers; one whose zero point is the lowest clips what lies below zero, as with a Relu behind it."""
    if point is None or point.size != 1 or point.dtype.kind not in "iu":
        return None
    zero, limits = float(np.ravel(point)[0]), np.iinfo(point.dtype)
    if zero != limits.min:
        return Activation(Kind.LINEAR, zero=zero)
    return Activation(Kind.RECTIFIER, zero, float(limits.max), zero=zero, enters=None, fused="Relu")


def requantised(node: OpNode, total: Array, positions: Sequence[int]) -> Array:
    """An int32 sum as it leaves the operator: rescaled, rounded to even, moved to the zero point, saturated.

    The kernels multiply in float32; a product that is rounded to a half there is not one in double precision.
    """
    x_scale, w_scale, y_scale, y_zero = (np.asarray(node.static(i)) for i in positions)
    factor = x_scale.astype(np.float32).reshape(-1) * w_scale.astype(np.float32).reshape(-1)
    factor = factor / y_scale.astype(np.float32).reshape(-1)
    limits = np.iinfo(y_zero.dtype)
    stepped = np.rint(np.asarray(total, np.float32) * factor) + y_zero.astype(np.float64).reshape(-1)
    return np.asarray(np.clip(stepped, limits.min, limits.max))


class IntegerConv(ConvRule):
    """ConvInteger: there is no bias to take a constant."""

    x, w, bias = 0, 1, 9
    x_zero, w_zero = 2, 3
    takes_constants = False

    def unsupported(self, node: OpNode) -> str | None:
        dynamic = any(node.has(i) and node.static(i) is None for i in (self.x_zero, self.w_zero))
        return "zero points computed at run time" if dynamic else super().unsupported(node)

    def kernel(self, node: OpNode) -> Array:
        return stands_for(super().kernel(node), None, node.static(self.w_zero))

    def channels(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        known, value = off_zero(xs[self.x], node.static(self.x_zero)).per_index(1, node.x_shape(self.x)[1])
        return known & (value == 0), np.zeros_like(value)

    def fills(self, node: OpNode) -> bool:
        return False


class QLinearConv(IntegerConv):
    """QLinearConv: a sum of integers, rescaled and clipped."""

    x, w, bias = 0, 3, 8
    x_zero, w_zero = 2, 5

    def activation(self, node: OpNode) -> Activation | None:
        return clipped_sum(node.static(7))

    def step(self, node: OpNode) -> float | None:
        return one_step(node.static(4))

    def rows(self, node: OpNode) -> Array:
        return stands_for(super().rows(node), node.static(4), None)

    def added(self, node: OpNode, length: int) -> Array | None:
        return None

    def finish(self, node: OpNode, total: Array) -> Array:
        return requantised(node, total, (1, 4, 6, 7))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        if any(node.static(i) is None for i in (1, 4, 6, 7)):
            return [Constants.unknown(len(node.y_shape()))]
        return super().constants(node, xs)


class IntegerProduct(Contraction):
    """A product of two matrices of integers; the zero point of an operand stands two places behind it."""

    axes_hold = True

    def unsupported(self, node: OpNode) -> str | None:
        zeros = [node.static(p) for p in (self.a + 2, self.b + 2) if node.has(p)]
        single = all(array is not None and array.size == 1 for array in zeros)
        return None if single else "zero points per row, or computed at run time"

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        return off_zero(xs[position], node.static(position + 2))

    def numbers(self, node: OpNode, position: int) -> Array:
        return stands_for(super().numbers(node, position), None, node.static(position + 2))

    def can_add_bias(self, node: OpNode) -> bool:
        return False


class RequantisedProduct(IntegerProduct):
    """A product of integers, rescaled and clipped: scale and zero point follow each operand, `y` is the output's."""

    b, y = 3, 6

    def unsupported(self, node: OpNode) -> str | None:
        if not node.has(self.y + 1):
            return "a product of integers that gives floats"
        arrays = [node.static(p) for p in (self.a + 1, self.b + 1, self.y, self.y + 1)]
        single = all(array is not None and array.size == 1 for array in arrays)
        return super().unsupported(node) if single else "scales per row, or computed at run time"

    def activation(self, node: OpNode) -> Activation | None:
        return clipped_sum(node.static(self.y + 1))

    def step(self, node: OpNode, position: int) -> float | None:
        return one_step(node.static(position + 1))

    def numbers(self, node: OpNode, position: int) -> Array:
        return stands_for(super().numbers(node, position), node.static(position + 1), None)

    def added(self, node: OpNode, length: int) -> Array | None:
        return None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = super().constants(node, xs)[0]
        positions = (self.a + 1, self.b + 1, self.y, self.y + 1)
        value = requantised(node, found.number.reshape(-1), positions).reshape(found.number.shape)
        return [Constants(found.known, np.where(found.known, value, 0.0))]


class QGemm(RequantisedProduct, Gemm):
    """QGemm, with a bias that counts in steps of the product."""

    bias, y = 6, 7

    def unsupported(self, node: OpNode) -> str | None:
        return "a factor" if node.attr("alpha", 1.0) != 1.0 else super().unsupported(node)


_ROUNDED = replace(QUANTISED, sums_products=True)
register(IntegerConv(), "ConvInteger")
register(QLinearConv(), "QLinearConv", traits=replace(_ROUNDED, windows=SPATIAL))
register(IntegerProduct(), "MatMulInteger")
register(RequantisedProduct(), "QLinearMatMul", traits=_ROUNDED)
register(QGemm(), "QGemm", domain=CONTRIB, traits=_ROUNDED)
