"""Attention of ai.onnx (opset 23 on): queries, keys, values, a mask that broadcasts to [b, (g r), s, u], a past, and
from opset 24 on how many keys count in each sample [b].

A query that may look at no key comes out as 0 in onnxruntime: where a mask is computed, only zeros are known to pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.attention import AttentionRule, Heads, steady, with_past
from analyzer.ops.node import OpNode
from analyzer.ops.operator import register

_K, _V, _MASK, _PAST_V, _COUNTED = 1, 2, 3, 5, 6
_MASKED = -1e30  # far below any score: no key


class Attention(AttentionRule):
    """Values [b, t, (g v)] or [b, g, t, v], queries and keys alike."""

    counts = ("q_num_heads", "kv_num_heads")
    summands = _MASK

    def heads(self, node: OpNode) -> Heads | None:
        q, k, v = (node.x_shape(p) for p in (0, _K, _V))
        if len(q) == 4:
            return None if q[1] % k[1] else Heads(k[1], q[1] // k[1], q[3], v[3])
        queries, keys = (int(node.attr(name, 0)) for name in self.counts)
        if not keys or queries % keys or q[-1] % queries or v[-1] % keys:
            return None
        return Heads(keys, queries // keys, q[-1] // queries, v[-1] // keys)

    def letters(self, node: OpNode) -> str:
        q, k, v, y = ("b s (g r d)", "b t (g d)", "b t (g v)", "b s (g r v)")
        if len(node.x_shape()) == 4:
            q, k, v, y = ("b (g r) s d", "b g t d", "b g t v", "b (g r) s v")
        rank = len(node.in_shapes[_MASK] or ()) if node.has(_MASK) else 0
        mask = " ".join(("b", "(g r)", "s", "x")[4 - rank :])  # shorter than u where keys at the end are padding
        return (
            f"Q: {q}, K: {k}, V: {v}, mask: {mask}, pk: b g p d, pv: b g p v, counted: b"
            f" -> Y: {y}, presentK: b g u d, presentV: b g u v, QK: b (g r) s u"
        )

    def narrows(self, node: OpNode) -> bool:
        flat, heads = len(node.x_shape(_V)) == 3, {node.attr(name) for name in self.counts}
        return flat and len(heads) == 1 and not node.has(_PAST_V) and node.only_first_output

    def averages(self, node: OpNode) -> bool:
        windows = any(int(node.attr(f"{side}_window_size", -1)) >= 0 for side in ("left", "right"))
        return super().averages(node) and not windows and not node.has(_COUNTED) and self._some_key(node)

    def _some_key(self, node: OpNode) -> bool:
        """Whether every query may look at some key, whatever is fed."""
        mask = node.static(_MASK)
        if not node.has(_MASK):
            return True
        if mask is None or not mask.size or node.has(_PAST_V):
            return False
        open_keys = mask if mask.dtype == np.bool_ else np.asarray(mask, np.float64) > _MASKED
        if node.attr("is_causal", 0):  # the first key is always open
            return bool(open_keys[..., 0].all())
        return bool(open_keys.any(axis=-1).all())

    def values(self, node: OpNode, xs: Sequence[Constants], heads: Heads) -> tuple[Mask, Array]:
        over = (0, 2) if len(node.x_shape(_V)) == 4 else (0, 1)
        return with_past(node, _PAST_V, xs, heads, steady(xs[_V], over, heads))


register(Attention(), "Attention")
