"""DynamicQuantizeLSTM (com.microsoft): an LSTM whose products are of integers, quantised while the model runs.

As LSTM (see `recurrent`), except W [d, i, 4*h] and R [d, h, 4*h], which are stored as integers; then the scale and zero
point of W, and those of R: [d] or [d, 4*h]. The range of all inputs, and at every step that of all hidden units,
decides how each of them is rounded: only what is 0 leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.gates import Gates
from analyzer.ops.largest import Stored
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.quantize_linear import QUANTISED
from analyzer.ops.recurrent import C0, H0, LENGTHS, LSTM, B, P, R, State, W, Weights, X
from analyzer.ops.traits import Traits

_W_SCALE, _W_ZERO, _R_SCALE, _R_ZERO = range(8, 12)


class DynamicLSTM(LSTM):
    """Units that are always 0 go, and inputs that are."""

    stated = replace(QUANTISED, shares_scale=True, sums_products=True)

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        return replace(stated, draws=bool(len(node.inputs) > LENGTHS and node.inputs[LENGTHS]))

    def unsupported(self, node: OpNode) -> str | None:
        stored = all(node.static(p) is not None for p in range(_W_SCALE, len(node.inputs)))
        if node.has(LENGTHS):
            return "sequences that end early, which onnxruntime rounds by what its memory holds behind them"
        return super().unsupported(node) if stored else "its scales are computed at run time"

    def axes(self, node: OpNode) -> Correspondence:
        scales = ", ".join(
            "q: d (g h)" if len(node.x_shape(p)) == 2 else "q: d" for p in range(_W_SCALE, len(node.inputs))
        )
        return Axes(
            f"X: t b i, W: d i (g h), R: d h (g h), B: d (e h), lengths: b, h0: d b h, c0: d b h, P: d (p h), {scales}"
            " -> Y: t d b h, Y_h: d b h, Y_c: d b h",
            whole="t b d g e p",  # all samples have one scale
            one="h i",
            made="d h",
            loops="t b d g h i | t b d g h h",
        )(node.without(node.zeros))

    def weights(self, node: OpNode) -> Weights:
        if "weights" not in node.memo:
            directions, hidden = node.x_shape(R)[:2]
            bias = node.static(B)
            both = np.zeros((directions, 2, 4, hidden)) if bias is None else np.asarray(bias, np.float64)
            both = both.reshape(directions, 2, 4, hidden)
            w, r = (self._numbers(node, p).reshape(directions, 4, hidden, -1) for p in (W, R))
            node.memo["weights"] = Weights(w, r, both[:, 0], both[:, 1])
        found: Weights = node.memo["weights"]
        return found

    def _numbers(self, node: OpNode, position: int) -> Array:
        """What W or R stand for, [d, 4*h, inputs]."""
        scale, zero = (node.static(p) for p in ((_W_SCALE, _W_ZERO) if position == W else (_R_SCALE, _R_ZERO)))
        each = (node.x_shape(position)[0], 1, -1)
        steps = np.asarray(node.static(position), np.float64) - np.asarray(zero, np.float64).reshape(each)
        return np.asarray((steps * np.asarray(scale, np.float64).reshape(each)).swapaxes(1, 2))

    def gates(self, node: OpNode) -> Gates | None:
        return None

    def inputs(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        known, value = super().inputs(node, xs)
        return known & (value == 0), np.zeros_like(value)

    def columns(self, node: OpNode) -> Mask:
        return ~super().columns(node)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        silent, _ = self.silent(node, xs)
        matter = self.matter(node, ys, self.state(node, xs, yc[0]), silent)
        reads, gates = ~self.inputs(node, xs)[0] & matter.any(), np.tile(matter, (1, 4))
        result = [pattern.uniform(x.rank, bool(matter.any())) for x in xs]
        result[X] = reads.reshape(1, 1, -1)
        result[W] = gates[:, np.newaxis] & reads[:, np.newaxis]
        result[R] = gates[:, np.newaxis] & matter[..., np.newaxis]
        for position, shape in enumerate(node.in_shapes):
            if position in (B, P) or (position >= _W_SCALE and shape is not None and len(shape) == 2):
                width = (shape or (0, 0))[1]
                result[position] = np.tile(matter, (1, width // matter.shape[1])) if shape else result[position]
            elif position in (H0, C0) and node.has(position):
                result[position] = matter[:, np.newaxis] & (position not in node.zeros)
        return result

    def matter(self, node: OpNode, ys: Sequence[Mask], state: State, silent: Mask) -> Mask:
        """Where any unit of a direction is asked for, all that are not 0: they set the range."""
        asked = super().matter(node, ys, state, silent)
        return asked | (asked.any(axis=1, keepdims=True) & ~state.steady)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        hidden = cut.keeps.get(node.x(R, 1))
        return Edit(
            leave_out=tuple(sorted(node.zeros)), attributes={} if hidden.all() else {"hidden_size": int(hidden.sum())}
        )


register(DynamicLSTM(), "DynamicQuantizeLSTM", domain=CONTRIB)
