"""Quantised operators: integers stand for scale * (q - zero point); a unit rests at its zero point.

QuantizeLinear / DequantizeLinear  X [*shape]  scale [] or [channels] along `axis`, zero point alike.
QLinearConv, ConvInteger, QLinearMatMul, MatMulInteger: products of differences from the zero points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.affine import Affine
from analyzer.ops.axes import Axes, row
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.weighted_sum import WeightedSum


class Linear(Operator):
    """QuantizeLinear and DequantizeLinear: elementwise, with parameters for the whole value or per channel."""

    def unsupported(self, node: OpNode) -> str | None:
        if any(node.has(i) and node.static(i) is None for i in (1, 2)):
            return "scales computed at run time"
        if node.attr("block_size", 0) or len(node.x_shape(1)) > 1:
            return "blocked quantisation"
        dtype = self.target_type(node)
        return None if dtype is not None and dtype.kind in "iu" else f"quantisation to {dtype or 'an unusual type'}"

    def target_type(self, node: OpNode) -> np.dtype[Any] | None:
        """Element type of the quantised side; None where it is not one of NumPy's."""
        zero = node.static(2)
        named = {0: np.uint8, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16}.get(node.attr("output_dtype", 0))
        return zero.dtype if zero is not None else None if named is None else np.dtype(named)

    def parameter(self, node: OpNode, position: int, default: float) -> Array:
        """Scale or zero point as a pattern of X."""
        rank, array = len(node.x_shape()), node.static(position)
        if array is None:
            return np.full((1,) * rank, default)
        flat = np.asarray(array, np.float64).reshape(-1)
        return pattern.on_axis(flat, self.axis(node), rank) if rank else flat.reshape(())

    def axis(self, node: OpNode) -> int:
        """The channel axis of the parameters."""
        return int(node.attr("axis", 1)) % max(len(node.x_shape()), 1) if len(node.x_shape()) > 1 else 0

    def axes(self, node: OpNode) -> Correspondence:
        letters = row("a", len(node.x_shape()))
        x, channel = " ".join(letters), letters[self.axis(node)] if letters else ""
        return Axes(f"X: {x}, scale: {channel}, zero: {channel} -> Y: {x}")(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x, scale, zero = xs[0], self.parameter(node, 1, 1.0), self.parameter(node, 2, 0.0)
        if node.op_type == "DequantizeLinear":
            value = (x.number - zero) * scale
        else:
            limits = np.iinfo(self.target_type(node) or np.uint8)
            ratio = (x.number.astype(np.float32) / scale.astype(np.float32)).astype(np.float64)
            value = np.clip(np.rint(ratio) + zero, limits.min, limits.max)
        known = np.broadcast_to(x.known, np.broadcast_shapes(x.known.shape, value.shape))
        return [Constants(known, np.where(known, value, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        shape = node.y_shape()
        channels = pattern.per_index(ys[0], self.axis(node), shape[self.axis(node)], every=False) if shape else None
        return [
            ys[0],
            *(
                pattern.uniform(x.rank, True) if channels is None or node.x_shape(i) != channels.shape else channels
                for i, x in enumerate(xs[1:], 1)
            ),
        ]

    def affine(self, node: OpNode) -> Affine | None:
        scale, zero = self.parameter(node, 1, 1.0), self.parameter(node, 2, 0.0)
        if node.op_type == "DequantizeLinear":
            return Affine({0: scale}, -scale * zero, integers=True)
        return Affine({0: 1 / scale}, zero, integers=True, rounds=True)


def off_zero(x: Constants, zero: Array | None, axis: int | None = None) -> Constants:
    """Constants as they enter a product: with the zero point taken off."""
    if zero is None:
        return x
    flat = np.asarray(zero, np.float64).reshape(-1)
    offset = flat if flat.size == 1 or axis is None else pattern.on_axis(flat, axis, x.rank)
    known = np.broadcast_to(x.known, np.broadcast_shapes(x.known.shape, np.shape(x.number - offset)))
    return Constants(known, np.where(known, x.number - offset, 0.0))


def stands_for(q: Array, scale: Array | None, zero: Array | None, axis: int) -> Array:
    """The numbers that stored integers stand for: one scale and zero point for all, or per index of the axis."""

    def parameter(array: Array | None, default: float) -> Array:
        flat = np.full(1, default) if array is None else np.asarray(array, np.float64).reshape(-1)
        return flat if flat.size == 1 else pattern.on_axis(flat, axis, q.ndim)

    return np.asarray((q.astype(np.float64) - parameter(zero, 0.0)) * parameter(scale, 1.0))


def one_step(scale: Array | None) -> float | None:
    """The step to which a whole tensor was rounded; None where each unit has one of its own, fitted to it."""
    return None if scale is None or scale.size != 1 else float(np.ravel(scale)[0])


class IntegerConv(ConvRule):
    """ConvInteger: X, W, x zero point, w zero point; there is no bias to take a constant."""

    x, w, bias = 0, 1, 9
    x_zero, w_zero = 2, 3

    def unsupported(self, node: OpNode) -> str | None:
        dynamic = any(node.has(i) and node.static(i) is None for i in (self.x_zero, self.w_zero))
        return "zero points computed at run time" if dynamic else super().unsupported(node)

    def kernel(self, node: OpNode) -> Array:
        weight = super().kernel(node).astype(np.float64)
        zero = node.static(self.w_zero) if node.has(self.w_zero) else None
        if zero is None:
            return weight
        flat = np.asarray(zero, np.float64).reshape(-1)
        return weight - (flat if flat.size == 1 else pattern.on_axis(flat, 0, weight.ndim))

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        found = super().weighted_sum(node)
        return found and replace(found, absorbs=False)

    def channels(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        zero = node.static(self.x_zero) if node.has(self.x_zero) else None
        known, value = off_zero(xs[self.x], zero).per_index(1, node.x_shape(self.x)[1])
        return known & (value == 0), np.zeros_like(value)  # only a channel at its zero point is absorbed

    def reading(self, node: OpNode, ys: Sequence[Mask], yc: Sequence[Constants]) -> tuple[Mask, Mask]:
        asked = pattern.per_index(ys[0], 1, node.y_shape()[1], every=False)  # constants are computed, not filled in
        reads, _ = self.taps(node)
        return asked, reads & asked.reshape(len(reads), -1, 1)

    def _absorbed(self, node: OpNode, cut: Cut) -> tuple[Array | None, Array | None]:
        return None, None  # only channels at their zero point go: they add nothing


class QLinearConv(IntegerConv):
    """QLinearConv: X, x scale, x zero, W, w scale, w zero, y scale, y zero, B (int32)."""

    x, w, bias = 0, 3, 8
    x_zero, w_zero = 2, 5

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        found = super().weighted_sum(node)
        return found and replace(found, step=one_step(node.static(4)))

    def rows(self, node: OpNode) -> Array:
        return stands_for(super().rows(node), node.static(4), None, 0)

    def added(self, node: OpNode, length: int) -> Array | None:
        return None

    def finish(self, node: OpNode, total: Array) -> Array:
        return requantised(node, total, (1, 4, 6, 7))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        if any(node.static(i) is None for i in (1, 4, 6, 7)):
            return [Constants.unknown(len(node.y_shape()))]
        return super().constants(node, xs)


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


class IntegerMatMul(Contraction):
    """MatMulInteger: A, B, a zero point, b zero point (for the whole value)."""

    a_zero, b_zero = 2, 3

    def unsupported(self, node: OpNode) -> str | None:
        for position in (self.a_zero, self.b_zero):
            zero = node.static(position) if node.has(position) else None
            if node.has(position) and (zero is None or zero.size != 1):
                return "zero points per row, or computed at run time"
        return None

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        place = self.a_zero if position == self.a else self.b_zero
        return off_zero(xs[position], node.static(place) if node.has(place) else None)

    def numbers(self, node: OpNode, position: int) -> Array:
        zero = self.a_zero if position == self.a else self.b_zero
        return stands_for(np.asarray(node.static(position)), None, node.static(zero), 0)

    def can_add_bias(self, node: OpNode) -> bool:
        return False


class QLinearMatMul(IntegerMatMul):
    """QLinearMatMul: a, a scale, a zero, b, b scale, b zero, y scale, y zero."""

    a, b = 0, 3
    a_zero, b_zero = 2, 5

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        found = super().weighted_sum(node)
        return found and replace(found, step=one_step(node.static(found.weight + 1)))

    def numbers(self, node: OpNode, position: int) -> Array:
        return np.asarray(super().numbers(node, position) * np.ravel(np.asarray(node.static(position + 1))))

    def added(self, node: OpNode, length: int) -> Array | None:
        return None

    def unsupported(self, node: OpNode) -> str | None:
        single = all((s := node.static(i)) is not None and s.size == 1 for i in (1, 4, 6, 7))
        return super().unsupported(node) if single else "scales per row, or computed at run time"

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = super().constants(node, xs)[0]
        value = requantised(node, found.number.reshape(-1), (1, 4, 6, 7)).reshape(found.number.shape)
        return [Constants(found.known, np.where(found.known, value, 0.0))]


register(Linear(), "QuantizeLinear", "DequantizeLinear")
register(Linear(), "QuantizeLinear", "DequantizeLinear", domain=CONTRIB)
register(IntegerConv(), "ConvInteger")
register(QLinearConv(), "QLinearConv")
register(IntegerMatMul(), "MatMulInteger")
register(QLinearMatMul(), "QLinearMatMul")
