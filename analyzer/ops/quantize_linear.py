"""Quantised operators: integers stand for scale * (q - zero point); a unit rests at its zero point.

QuantizeLinear / DequantizeLinear  X [*shape]  scale [] or [channels] along `axis`, zero point alike; or, with a
    `block_size` (opset 21), of X's rank with a number per block along `axis`: blocks go as a whole.
DynamicQuantizeLinear  X [*shape] -> Y [*shape] (uint8), scale [], zero point [], which the range of X and 0 decides
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import element_type
from analyzer.ops.affine import Affine
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY, SINGLE_OR_DOUBLE, STEADY

QUANTISED = replace(STEADY, quantises=True)
_INTEGERS = {"UNDEFINED": "uint8", "UINT8": "uint8", "INT8": "int8", "UINT16": "uint16", "INT16": "int16"}


def is_whole(dtype: np.dtype[Any]) -> bool:
    """Whether a type holds whole numbers, those of four and of two bits included."""
    return dtype.kind in "iu" or dtype.name in ("int4", "uint4", "int2", "uint2")


def _limits(dtype: Any) -> Any:
    return ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]  # knows the types of four bits, too


class Linear(Operator):
    """QuantizeLinear and DequantizeLinear: elementwise, with parameters for the whole value or per channel."""

    def unsupported(self, node: OpNode) -> str | None:
        if any(node.has(i) and node.static(i) is None for i in (1, 2)):
            return "scales computed at run time"
        dtype = self.target_type(node)
        return None if dtype is not None and is_whole(dtype) else f"quantisation to {dtype or 'an unusual type'}"

    def target_type(self, node: OpNode) -> np.dtype[Any] | None:
        """Element type of the quantised side; None where it is not one of NumPy's."""
        zero = node.static(2)
        named = _INTEGERS.get(element_type(node.attr("output_dtype", 0)))
        return zero.dtype if zero is not None else None if named is None else np.dtype(named)

    def parameter(self, node: OpNode, position: int, default: float) -> Array:
        """Scale or zero point as a pattern of X."""
        rank, array, size = len(node.x_shape()), node.static(position), self.block(node)
        if array is None:
            return np.full((1,) * rank, default)
        if size:
            per_block = np.asarray(array, np.float64).repeat(size, self.axis(node))
            return pattern.take(per_block, self.axis(node), np.arange(node.x_shape()[self.axis(node)]))
        flat = np.asarray(array, np.float64).reshape(-1)
        return pattern.on_axis(flat, self.axis(node), rank) if rank else flat.reshape(())

    def axis(self, node: OpNode) -> int:
        """The channel axis of the parameters."""
        return int(node.attr("axis", 1)) % max(len(node.x_shape()), 1) if len(node.x_shape()) > 1 else 0

    def block(self, node: OpNode) -> int:
        """How many elements along the axis share a number; 0 where parameters are not per block."""
        return int(node.attr("block_size", 0))

    def axes(self, node: OpNode) -> Correspondence:
        letters, axis, size = row("a", len(node.x_shape())), self.axis(node), self.block(node)
        x, parameter = " ".join(letters), letters[axis] if letters else ""
        if size:
            even = node.x_shape()[axis] % size == 0
            x, parameter = (
                " ".join((*letters[:axis], along, *letters[axis + 1 :]))
                for along in (("(g s)", "g") if even else ("w", "z"))
            )
        return Axes(
            f"X: {x}, scale: {parameter}, zero: {parameter} -> Y: {x}",
            whole="s w z" if size else "",
            one="g" if size else "",
        )(node)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """A vector of one block has one scale for all, which onnxruntime wants to be called that."""
        alone = self.block(node) and cut.keeps.shape(node.inputs[1]) == (1,)
        return Edit(attributes={"block_size": None} if alone else {})

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x, scale, zero = xs[0], self.parameter(node, 1, 1.0), self.parameter(node, 2, 0.0)
        if node.op_type == "DequantizeLinear":
            value = (x.number - zero) * scale
        else:
            limits = _limits(self.target_type(node) or np.uint8)
            ratio = (x.number.astype(np.float32) / scale.astype(np.float32)).astype(np.float64)
            value = np.clip(np.rint(ratio) + zero, limits.min, limits.max)
        known = np.broadcast_to(x.known, np.broadcast_shapes(x.known.shape, value.shape))
        return [Constants(known, np.where(known, value, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        shape, size = node.y_shape(), self.block(node)
        if size:
            wide = pattern.along(ys[0], self.axis(node), shape[self.axis(node)])
            starts = np.arange(0, shape[self.axis(node)], size)
            blocks = np.logical_or.reduceat(wide, starts, axis=self.axis(node))
            return [ys[0], *(blocks for _ in xs[1:])]
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
        limits, points = _limits(zero.dtype), np.ravel(zero).astype(np.float64)
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
