"""GroupQueryAttention (com.microsoft): every head of keys and values serves several heads of queries, causally.

query [b, s, (g r d)], key, value [b, t, (g d)], or query [b, s, (g r d + g d + g d)] alone; past and present keys and
values [b, g, length, d], seqlens_k [b], one less than the keys that count, total_sequence_length, caches of rotary
angles [m, e], attention bias [b, (g r), s, u], head_sink [(g r)].
A head of keys goes with all its heads of queries. With a sink, or a smooth softmax, weights add up to less than 1; a
query of the padding behind a sample sees no key through a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.attention import AttentionRule, Heads, steady, with_past
from analyzer.ops.fused_attention import BIAS
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.traits import SUMMING

_K, _V, _PAST_V, _LENGTHS, _TOTAL, _SINK, _NOT_COVERED = 1, 2, 4, 5, 6, 11, range(12, 17)


class GroupQueryAttention(AttentionRule):
    """Groups of heads are cut whole."""

    counts = ("num_heads", "kv_num_heads")
    summands = 10

    def unsupported(self, node: OpNode) -> str | None:
        quantised = any(str(node.attr(name, "NONE")).upper() != "NONE" for name in ("k_quant_type", "v_quant_type"))
        if quantised or node.attr("kv_cache_bit_width", 0) or any(node.has(p) for p in _NOT_COVERED):
            return "keys and values that are quantised or normalised, or queries that are packed"
        return super().unsupported(node)

    def heads(self, node: OpNode) -> Heads | None:
        queries, keys = int(node.attr("num_heads", 0)), int(node.attr("kv_num_heads", 0))
        if not keys or queries % keys:
            return None
        total = queries if node.has(_K) else queries + 2 * keys
        width = node.x_shape()[-1] // total
        return Heads(keys, queries // keys, width, width)

    def letters(self, node: OpNode) -> str:
        query = "(g r d)" if node.has(_K) else "(g r d + g d + g d)"
        seqlens = "b" if len(node.x_shape(5)) == 1 else "b w"
        place = "b s" if node.has(9) and node.x_shape(9)[0] == node.x_shape()[0] else "x x"
        return (
            f"q: b s {query}, k: b t (g d), v: b t (g d), pk: b g p d, pv: b g p d, lengths: {seqlens}, total: w, "
            f"cos: m e, sin: m e, places: {place}, more: {BIAS}, sink: (g r)"
            f" -> Y: b s (g r d), K: b g u d, V: b g u d, QK: {BIAS}"
        )

    def averages(self, node: OpNode) -> bool:
        less = node.has(_SINK) or node.attr("smooth_softmax", 0) == 1
        return super().averages(node) and not less

    def numbers_always(self, node: OpNode) -> bool:
        """Which keys a query sees depends on what is fed, so that -inf may leave it none."""
        added = node.static(self.summands)
        return added is None or bool(np.isfinite(added).all())

    def values(self, node: OpNode, xs: Sequence[Constants], heads: Heads) -> tuple[Mask, Array]:
        x = xs[_V]
        if not node.has(_V):  # behind queries and keys
            columns, width = node.x_shape()[-1], heads.groups * heads.width
            last = np.arange(columns - width, columns)
            x = Constants(pattern.take(xs[0].known, 2, last), pattern.take(xs[0].number, 2, last))
        known, number = with_past(node, _PAST_V, xs, heads, steady(x, (0, 1), heads))
        lengths, total = xs[_LENGTHS], xs[_TOTAL]
        full = lengths.all and total.all and bool((lengths.number + 1 == total.number).all())
        return known & (full | (number == 0) | (node.attr("local_window_size", -1) <= 0)), number


register(
    GroupQueryAttention(),
    "GroupQueryAttention",
    domain=CONTRIB,
    traits=replace(SUMMING, geometry=(5, 6), lengths_from=(6,)),
)
