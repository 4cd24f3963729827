"""Attention as onnxruntime fuses it (com.microsoft): Attention, MultiHeadAttention.

Attention makes queries, keys and values of one input: X [b, s, i], W [i, (g d + g d + g v)], B like W's columns; mask
[b, u] or others, past [2, b, g, p, d], attention bias [b, g, s, u], present like past.
MultiHeadAttention reads them as three values, and adds a bias [(g d + g d + g v)]. Keys and values packed in one
value, which onnxruntime does not run on a CPU, are not covered.
Masks are added as finite numbers, so that the weights of an average add up to 1 even where all keys are masked. Only
-inf as mask_filter_value, or in a bias, makes NaN of a query all of whose keys are masked: then nothing is constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Kind
from analyzer.ops.attention import AttentionRule, Heads, steady, with_past
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array, removed_constants
from analyzer.ops.operator import CONTRIB, Activation, register
from analyzer.ops.weighted_sum import WeightedSum

PACKED = "(g d + g d + g v)"
BIAS = "b (g r) s u"


def mask_letters(node: OpNode, position: int) -> str | None:
    """Which keys count: per sample [b, u], per query [b, s, u], or as ends [b], or ends and starts [2 b]; else None."""
    shape = node.in_shapes[position] if node.has(position) else None
    if shape is None:
        return "_"
    if len(shape) == 1:
        samples = node.x_shape()[0]
        return "mask: b" if shape[0] == samples else "mask: (c b)" if shape[0] == 2 * samples else None
    return {2: "mask: b u", 3: "mask: b s u"}.get(len(shape))


class FusedAttention(AttentionRule):
    """Masked keys get `mask_filter_value` as their score; it may be -inf, as summands of scores may."""

    mask, summands = 3, 5

    def numbers_always(self, node: OpNode) -> bool:
        added, masked = node.static(self.summands), node.has(self.mask)
        masked = masked or (added is not None and bool(node.attr("unidirectional", 0)))
        if masked and np.isinf(node.attr("mask_filter_value", 0.0)):
            return False
        return super().numbers_always(node) and (added is None or bool(np.isfinite(added).any(axis=-1).all()))


class ProjectedAttention(FusedAttention):
    """Queries, keys and values are sums of one input; a constant input goes into the bias."""

    past = 4
    made = "g v"
    projected = (("b", "s", "i", "g", "d"), ("b", "s", "i", "g", "d"), ("b", "s", "i", "g", "v"))

    def entering(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Per index of the input: constant as it enters the sums, and the constant."""
        return xs[0].per_index(2, node.x_shape()[2])

    def weight(self, node: OpNode) -> Array:
        """The weight as numbers, [i, (g d + g d + g v)]."""
        return np.asarray(node.static(1), np.float64)

    def unsupported(self, node: OpNode) -> str | None:
        if node.static(1) is None or (node.has(2) and node.static(2) is None):
            return "its weights are computed at run time"
        if node.attr("past_present_share_buffer", 0) or node.attr("do_rotary", 0):
            return "what came before is written in place, or queries and keys are turned"
        if mask_letters(node, self.mask) is None:
            return "a mask of another shape"
        return super().unsupported(node)

    def heads(self, node: OpNode) -> Heads | None:
        groups = int(node.attr("num_heads", 0))
        columns = node.x_shape(1)[-1]
        sizes = [int(n) for n in node.attr("qkv_hidden_sizes") or (columns // 3,) * 3]
        if not groups or sum(sizes) != columns or sizes[0] != sizes[1] or any(n % groups for n in sizes):
            return None
        return Heads(groups, 1, sizes[0] // groups, sizes[2] // groups)

    def letters(self, node: OpNode) -> str:
        return (
            f"X: b s i, W: i {PACKED}, B: {PACKED}, {mask_letters(node, 3)}, past: c b g p d, bias: {BIAS}"
            " -> Y: b s (g v), present: c b g u d"
        )

    def narrows(self, node: OpNode) -> bool:
        return not node.has(self.past) and node.only_first_output

    def activation(self, node: OpNode) -> Activation | None:
        """Each unit is an average of sums that the operator makes."""
        return Activation(Kind.LINEAR, enters=None)

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        return (2,) if position == 0 else ()

    def averaged_sum(self, node: OpNode) -> WeightedSum | None:
        heads = self.heads(node)
        if (
            heads is None or node.has(self.past) or not self.numbers_always(node)
        ):  # with a past, others are averaged as well
            return None
        weight, bias = self.weight(node)[:, heads.value_start :], self._bias(node)[heads.value_start :]
        return WeightedSum(0, 1, 2, 2, 2, lambda: weight.T[..., np.newaxis], lambda length: bias, stored_axis=0)

    def values(self, node: OpNode, xs: Sequence[Constants], heads: Heads) -> tuple[Mask, Array]:
        shape = heads.groups, heads.value_width
        start = heads.value_start
        weight, (known, number) = self.weight(node)[:, start:], self.entering(node, xs)
        total = np.where(known, number, 0.0) @ weight + self._bias(node)[start:]
        still = (known[:, np.newaxis] | (weight == 0)).all(axis=0) & (not node.has(self.past))
        return still.reshape(shape), np.where(still, total, 0.0).reshape(shape)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        result = super().needs(node, ys, xs, yc)
        known, _ = self.entering(node, xs)
        reads = ~known & ((self.weight(node) != 0) & result[1]).any(axis=1)
        result[0] = pattern.on_axis(reads, 2, 3)
        result[1] = result[1] & reads[:, np.newaxis]
        return result

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        edit = super().shrink(node, cut)
        inputs, columns = cut.keeps.vectors(node.inputs[1])
        heads, values = self.heads(node), int(cut.keeps.get((node.outputs[0], 2)).sum())
        assert heads is not None  # else it is not supported
        sizes = [heads.width * edit.attributes.get("num_heads", heads.groups)] * 2 + [values]
        if node.attr("qkv_hidden_sizes") or sizes[0] != values:
            edit.attributes["qkv_hidden_sizes"] = sizes
        shift = removed_constants(*self.entering(node, cut.xs), inputs) @ self.weight(node)
        if shift.any():
            dtype = np.asarray(node.static(1)).dtype
            edit.inputs[2] = cut_array(self._bias(node) + shift, [columns]).astype(dtype)
        return edit

    def _bias(self, node: OpNode) -> Array:
        bias = node.static(2)
        return np.zeros(node.x_shape(1)[-1]) if bias is None else np.asarray(bias, np.float64)


class MultiHeadAttention(FusedAttention):
    """Queries, keys and values as they come, and a bias on them."""

    mask = 4

    def unsupported(self, node: OpNode) -> str | None:
        if node.has(8) or node.has(9):
            return "what came before is kept elsewhere"
        if not node.has(2):
            return "queries, keys or values packed in one value"
        if node.has(3) and len(node.x_shape(1)) == 4:
            return "a bias on keys that are laid out by heads"
        if mask_letters(node, 4) is None:
            return "a mask of another shape"
        return super().unsupported(node)

    def heads(self, node: OpNode) -> Heads | None:
        groups, value = int(node.attr("num_heads", 0)), node.x_shape(2)
        columns = value[1] * value[3] if len(value) == 4 else value[-1]
        if not groups or node.x_shape()[-1] % groups or columns % groups:
            return None
        return Heads(groups, 1, node.x_shape()[-1] // groups, columns // groups)

    def narrows(self, node: OpNode) -> bool:
        return len(node.x_shape(2)) == 3 and not node.has(7) and node.only_first_output

    def letters(self, node: OpNode) -> str:
        k, v = ("b g t d", "b g t v") if len(node.x_shape(1)) == 4 else ("b t (g d)", "b t (g v)")
        return (
            f"q: b s (g d), k: {k}, v: {v}, bias: {PACKED}, {mask_letters(node, 4)}, more: {BIAS}, pk: b g p d, "
            f"pv: b g p v -> Y: b s (g v), K: b g u d, V: b g u v, QK: {BIAS}"
        )

    def values(self, node: OpNode, xs: Sequence[Constants], heads: Heads) -> tuple[Mask, Array]:
        known, number = steady(xs[2], (0, 2) if len(node.x_shape(2)) == 4 else (0, 1), heads)
        if node.has(3):
            columns = node.x_shape(3)[0]
            added = (pattern.along(array, 0, columns)[-known.size :] for array in (xs[3].known, xs[3].number))
            added_known, added_number = (array.reshape(known.shape) for array in added)
            known, number = known & added_known, number + added_number
        return with_past(node, 7, xs, heads, (known, np.where(known, number, 0.0)))


register(ProjectedAttention(), "Attention", domain=CONTRIB)
register(MultiHeadAttention(), "MultiHeadAttention", domain=CONTRIB)
