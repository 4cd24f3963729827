"""Sums over integers: products of differences from the zero points, for convolutions and matrices.

ConvInteger     X, W, x zero, w zero                                        MatMulInteger  A, B, a zero, b zero
QLinearConv     X, scale, zero, W, scale, zero, y scale, y zero, B (int32)  one scale, or one per output channel, of W
QLinearMatMul   A, scale, zero, B, scale, zero, y scale, y zero
QGemm           A, scale, zero, B, scale, zero, C (int32), y scale, y zero  (com.microsoft)

Scales and zero points of a matrix B are one, or one per column: [N]. What lies at its zero point can go, since it adds
nothing; a constant needs a bias that counts in steps of the products, which QGemm and QLinearConv have, and a sum with
room for it. Zero points of computed operands may be computed, too (DynamicQuantizeLinear): zeros lie at them, whatever
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Kind
from analyzer.graph.deferred import made
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.gemm import Gemm
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import CONTRIB, Activation, register
from analyzer.ops.quantize_linear import QUANTISED
from analyzer.ops.traits import SPATIAL

_LARGEST = 255.0**2  #: of a product of two bytes


def off_zero(x: Constants, zero: Array | None, axis: int = 0) -> Constants:
    """Constants as they enter a product: with the zero point, one for all or per index of the axis, taken off."""
    if zero is None:
        return x
    value = x.number - _along(zero, axis, x.rank)
    known = np.broadcast_to(x.known, np.broadcast_shapes(x.known.shape, value.shape))
    return Constants(known, np.where(known, value, 0.0))


def at_computed(x: Constants, zero: str) -> Constants:
    """What is known of elements as they enter a product, with a zero point taken off that is computed: zeros."""
    held = x.multiples
    if held is None or held.profile != zero:
        return Constants.unknown(x.rank)
    return Constants(held.held & (held.factor == 1), np.zeros((1,) * x.rank))


def stands_for(q: Array, scale: Array | None, zero: Array | None, axis: int = 0) -> Array:
    """The numbers that stored integers stand for: one scale and zero point for all, or per index of the axis."""
    steps = q.astype(np.float64) - (0.0 if zero is None else _along(zero, axis, q.ndim))
    return np.asarray(steps if scale is None else steps * _along(scale, axis, q.ndim))


def _along(parameter: Array, axis: int, rank: int) -> Array:
    flat = np.asarray(parameter, np.float64).reshape(-1)
    return flat.reshape(()) if flat.size == 1 else pattern.on_axis(flat, axis, rank)


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


def may_wrap(products: int, bias: Array | None) -> bool:
    """Whether a sum of so many products of two bytes, and of a bias, may not fit into 32 bits."""
    return _LARGEST * products + (0.0 if bias is None else np.abs(bias.astype(np.float64)).max(initial=0)) >= 2.0**31


class IntegerConv(ConvRule):
    """ConvInteger: there is no bias to take a constant."""

    x, w, bias = 0, 1, 9
    x_zero, w_zero = 2, 3

    def takes_constants(self, node: OpNode) -> bool:
        return False

    def unsupported(self, node: OpNode) -> str | None:
        if node.has(self.w_zero) and node.static(self.w_zero) is None:
            return "zero points computed at run time"
        return super().unsupported(node)

    def kernel(self, node: OpNode) -> Array:
        return stands_for(super().kernel(node), None, node.static(self.w_zero))

    def channels(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        zero, x = node.static(self.x_zero), xs[self.x]
        entering = (
            at_computed(x, node.inputs[self.x_zero]) if zero is None and node.has(self.x_zero) else off_zero(x, zero)
        )
        known, value = entering.per_index(1, node.x_shape(self.x)[1])
        known = known & ((value == 0) | self.takes_constants(node))
        return known, np.where(known, value, 0.0)

    def fills(self, node: OpNode) -> bool:
        return False


class QLinearConv(IntegerConv):
    """QLinearConv: a sum of integers, rescaled and clipped; its bias takes constants, but where padding is added."""

    x, w, bias = 0, 3, 8
    x_zero, w_zero = 2, 5

    def takes_constants(self, node: OpNode) -> bool:
        bias, stored = node.static(self.bias), not node.has(self.x_zero) or node.static(self.x_zero) is not None
        return stored and self.flat_border(node) and not may_wrap(prod(node.x_shape(self.w)[1:]), bias)

    def held_multiples(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        length = node.x_shape(self.x)[1]
        return np.zeros(length, np.bool_), np.zeros(length)  # no kernel of bytes has room for those of others

    def bias_dtype(self, node: OpNode, stored: Array) -> np.dtype[Any]:
        return np.dtype(np.int32)

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
    """A product of two matrices of integers."""

    axes_hold = True

    def zero(self, position: int) -> int:
        """Where the zero point of an operand stands: two places behind it."""
        return position + 2

    def unsupported(self, node: OpNode) -> str | None:
        stored = self.single(node, self.zero(self.a)), self.per_column(node, self.zero(self.b))
        fits = all(held or self._both_computed(node, p) for held, p in zip(stored, (self.a, self.b), strict=True))
        return None if fits else "zero points per row, or computed for a stored operand"

    def _both_computed(self, node: OpNode, position: int) -> bool:
        """Whether an operand is computed, and its zero point as well, one for all."""
        computed = node.static(position) is None and node.static(self.zero(position)) is None
        return computed and prod(node.x_shape(self.zero(position))) == 1

    def single(self, node: OpNode, position: int) -> bool:
        """Whether a parameter is one stored number, or not there."""
        array = node.static(position)
        return not node.has(position) if array is None else array.size == 1

    def per_column(self, node: OpNode, position: int) -> bool:
        """Whether a parameter of B is one stored number, or one for each column of a matrix."""
        stored, shape = node.static(position) is not None, node.x_shape(self.b)
        columns = len(shape) == 2 and node.has(position) and node.x_shape(position) == node.y_shape()[-1:]
        return (stored and columns) or self.single(node, position)

    def per_output(self, node: OpNode) -> list[int]:
        columns = [p for p in (self.zero(self.b),) if node.has(p)]
        return [*super().per_output(node), *(p for p in columns if len(node.x_shape(p)) == 1)]

    def columns(self, node: OpNode, position: int) -> int:
        """The axis of an operand along which its scales and zero points lie, where these are several."""
        letters = self.letters(node)
        own = letters.a if position == self.a else letters.b
        return own.index(letters.y[-1]) if letters.y and letters.y[-1] in own else 0

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        zero = node.static(self.zero(position))
        if zero is None and node.has(self.zero(position)):
            return at_computed(xs[position], node.inputs[self.zero(position)])
        return off_zero(xs[position], zero, self.columns(node, position))

    def numbers(self, node: OpNode, position: int) -> Array:
        zero, axis = node.static(self.zero(position)), self.columns(node, position)
        return stands_for(super().numbers(node, position), None, zero, axis)

    def can_add_bias(self, node: OpNode) -> bool:
        return False


class RequantisedProduct(IntegerProduct):
    """A product of integers, rescaled and clipped: scale and zero point follow each operand, `y` is the output's."""

    b, y = 3, 6

    def unsupported(self, node: OpNode) -> str | None:
        if not node.has(self.y + 1):
            return "a product of integers that gives floats"
        fits = all(self.single(node, p) for p in (self.a + 1, self.y, self.y + 1)) and self.per_column(node, self.b + 1)
        return super().unsupported(node) if fits else "scales per row, or computed at run time"

    def per_output(self, node: OpNode) -> list[int]:
        return [*super().per_output(node), *([self.b + 1] if len(node.x_shape(self.b + 1)) == 1 else [])]

    def activation(self, node: OpNode) -> Activation | None:
        return clipped_sum(node.static(self.y + 1))

    def step(self, node: OpNode, position: int) -> float | None:
        return one_step(node.static(position + 1))

    def numbers(self, node: OpNode, position: int) -> Array:
        return stands_for(
            super().numbers(node, position), node.static(position + 1), None, self.columns(node, position)
        )

    def added(self, node: OpNode, length: int) -> Array | None:
        return None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = super().constants(node, xs)[0]
        positions = (self.a + 1, self.b + 1, self.y, self.y + 1)
        value = requantised(node, found.number, positions)
        value = value.reshape((*found.number.shape[:-1], -1) if found.rank else ())
        known = np.broadcast_to(found.known, np.broadcast_shapes(found.known.shape, value.shape))
        return [Constants(known, np.where(known, value, 0.0))]


class QGemm(RequantisedProduct, Gemm):
    """QGemm, with a bias that counts in steps of the product: it takes constants."""

    bias, y = 6, 7

    def unsupported(self, node: OpNode) -> str | None:
        if node.attr("alpha", 1.0) != 1.0:
            return "a factor"
        wraps = may_wrap(node.x_shape(self.a)[self.letters(node).a.index(1)], node.static(self.bias))
        return "a sum that may wrap around" if wraps else super().unsupported(node)

    def can_add_bias(self, node: OpNode) -> bool:
        return node.static(self.b) is not None and (not node.has(self.bias) or node.static(self.bias) is not None)

    def fillable(self, node: OpNode, known: Mask) -> Mask:
        return np.zeros_like(known)  # the bias is added before the sum is rounded

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        edit = super().shrink(node, cut)
        if self.bias in edit.inputs:
            edit.inputs[self.bias] = made(edit.inputs[self.bias]).astype(np.int32)
        return edit


_ROUNDED = replace(QUANTISED, sums_products=True)
register(IntegerConv(), "ConvInteger")
register(QLinearConv(), "QLinearConv", traits=replace(_ROUNDED, windows=SPATIAL))
register(IntegerProduct(), "MatMulInteger")
register(RequantisedProduct(), "QLinearMatMul", traits=_ROUNDED)
register(QGemm(), "QGemm", domain=CONTRIB, traits=_ROUNDED)
