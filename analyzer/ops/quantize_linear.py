"""Quantised operators: integers stand for scale * (q - zero point); a unit rests at its zero point.

QuantizeLinear / DequantizeLinear  X [*shape]  scale [] or [channels] along `axis`, zero point alike.
DynamicQuantizeLinear  X [*shape] -> Y [*shape] (uint8), scale [], zero point [], which the range of X and 0 decides
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import element_type
from analyzer.ops.affine import Affine
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY, SINGLE_OR_DOUBLE, STEADY

QUANTISED = replace(STEADY, quantises=True)
_INTEGERS = {"UNDEFINED": "uint8", "UINT8": "uint8", "INT8": "int8", "UINT16": "uint16", "INT16": "int16"}


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
        named = _INTEGERS.get(element_type(node.attr("output_dtype", 0)))
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

    def clips(self, node: OpNode) -> tuple[float, float] | None:
        scale, zero = node.static(1), node.static(2)
        if node.op_type == "DequantizeLinear" or scale is None or scale.size != 1 or zero is None:
            return None
        limits, points = np.iinfo(zero.dtype), np.ravel(zero).astype(np.float64)
        low, high = (limits.min - points.min(), limits.max - points.min()) if np.ptp(points) == 0 else (-np.inf, np.inf)
        return float(low) * float(np.ravel(scale)[0]), float(high) * float(np.ravel(scale)[0])

    def affine(self, node: OpNode) -> Affine | None:
        scale, zero = self.parameter(node, 1, 1.0), self.parameter(node, 2, 0.0)
        if node.op_type == "DequantizeLinear":
            return Affine({0: scale}, -scale * zero, integers=True)
        return Affine({0: 1 / scale}, zero, integers=True, rounds=True)


class Dynamic(Operator):
    """DynamicQuantizeLinear: a zero is stored as the zero point, and leaves the range as it is; nothing else does."""

    def axes(self, node: OpNode) -> Correspondence:
        return Axes("X: *s -> Y: *s, scale: , zero: ", one="s")(node)  # one scale for all samples

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        zero, rank = xs[0].zero, xs[0].rank
        at_rest = Multiples(node.outputs[2], zero, zero.astype(np.float64)) if zero.any() else None
        return [replace(Constants.unknown(rank), multiples=at_rest), Constants.unknown(0), Constants.unknown(0)]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        return [~xs[0].zero & any(mask.any() for mask in ys)]


for _domain in ("", CONTRIB):
    register(Linear(), "QuantizeLinear", domain=_domain, traits=replace(QUANTISED, exact_in=EVERY))
    register(Linear(), "DequantizeLinear", domain=_domain, traits=replace(CONTINUOUS, exact_in=SINGLE_OR_DOUBLE))
register(Dynamic(), "DynamicQuantizeLinear", traits=replace(QUANTISED, shares_scale=True))
