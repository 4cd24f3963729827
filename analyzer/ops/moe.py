"""MoE, QMoE (com.microsoft): each token goes through the k of e experts whose scores are largest.

X [*t, h]  scores [tokens, e]  W1 [e, (i f), h]  B1 [e, (i f)]  W2 [e, h, i]  B2 [e, h]  Y [*t, h]

expert(x) = W2 a(W1 x + B1) + B2;  Y = sum over the k chosen of weight * expert(x), weights as `Stacked` says. f is 2
for swiglu, whose rows of W1 alternate: `min(g, limit) sigmoid(alpha g) (clamp(l) + beta)` of each pair; else 1.
A hidden unit goes that no expert needs. What leaves X leaves Y, too, since both have one length.

QMoE holds its weights in few bits, with scales and zero points, all by expert; of these only whole experts go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array, removed_constants
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.routing import Stacked
from analyzer.ops.traits import SUMMING

X, SCORES, W1, B1, W2, B2, W3, B3 = range(8)
_GATED = "swiglu"
#: What becomes of a constant; None: only 0 is known to stay 0.
_ACTIVATIONS: dict[str, Callable[[Array], Array] | None] = {
    "relu": lambda x: np.maximum(x, 0),
    "identity": lambda x: x,
    "gelu": None,
    "silu": None,
    _GATED: None,
}


class MixtureOfExperts(Operator):
    """Experts stay: which of them a token goes through its scores say."""

    stated = replace(SUMMING, jumps=True)
    conceals = "hidden units within its experts are not looked at"

    def unsupported(self, node: OpNode) -> str | None:
        if any(node.has(p) and node.static(p) is None for p in (W1, B1, W2, B2)):
            return "its weights are computed at run time"
        named = _activation(node)
        runs = named in _ACTIVATIONS and (named != _GATED or int(node.attr("swiglu_fusion", 0)) == 1)
        if not runs or node.has(W3) or node.has(B3) or node.attr("swiglu_limit_after_activation", 0):
            return "experts of a form that onnxruntime does not run on a CPU"
        return "a sparse mixer" if node.attr("use_sparse_mixer", 0) else None

    def axes(self, node: OpNode) -> Correspondence:
        tokens = "t" if len(node.x_shape(X)) == 2 else "b s"
        return Axes(
            f"X: {tokens} h, scores: ({tokens}) e, W1: e (i f) h, B1: e (i f), W2: e h i, B2: e h -> Y: {tokens} h",
            whole="e f",
            one="h i",
            made="h",
            loops=f"{tokens} k i f h | {tokens} k h i",
            given={"k": int(node.attr("k", 1)), "f": _rows(node)},
        )(node)

    def experts(self, node: OpNode) -> Stacked | None:
        averaged = bool(node.attr("normalize_routing_weights", 0))
        still, total = self.given_out(node, [Constants.unknown(len(shape or ())) for shape in node.in_shapes])
        settled = {int(e): total[e] for e in np.flatnonzero(still.all(axis=1))}
        return Stacked(SCORES, (W1, B1, W2, B2), int(node.attr("k", 1)), averaged, settled)

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        return (len(node.x_shape(X)) - 1,) if position == X else ()

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """Where all experts give one constant; as their weights may add up to less than 1, mostly only 0."""
        still, total = self.given_out(node, xs)
        averaged = bool(node.attr("normalize_routing_weights", 0))
        even = still.all(axis=0) & (total == total[:1]).all(axis=0) & (averaged | (total[0] == 0))
        rank = len(node.y_shape())
        return [
            Constants(pattern.on_axis(even, rank - 1, rank), pattern.on_axis(np.where(even, total[0], 0.0), -1, rank))
        ]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        rank, width = len(node.y_shape()), node.y_shape()[-1]
        asked = pattern.per_index(ys[0], rank - 1, width, every=False)
        second = asked[:, np.newaxis] & (_stored(node, W2) != 0) & ~self.hidden(node, xs)[0][:, np.newaxis]
        rows = np.repeat(second.any(axis=1), _rows(node), axis=1)
        known, _ = xs[X].per_index(rank - 1, width)
        first = rows[..., np.newaxis] & (_stored(node, W1) != 0) & ~known
        read = pattern.on_axis(first.any(axis=(0, 1)), rank - 1, rank)
        masks = {X: read, W1: first, B1: rows, W2: second, B2: np.broadcast_to(asked, (len(second), width))}
        return [masks.get(p, pattern.uniform(x.rank, bool(asked.any()))) for p, x in enumerate(xs)]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """What constants that go always added goes into the biases: of inputs into the first, of hidden units."""
        edit, keeps = Edit(), cut.keeps
        read = cut.xs[X].per_index(cut.xs[X].rank - 1, node.x_shape(X)[-1])
        gone = removed_constants(*read, keeps.get(node.x(X, -1)))
        hidden = removed_constants(*self.hidden(node, cut.xs), keeps.get((node.inputs[W2], 2)))
        for position, weights, shift in (
            (B1, W1, _stored(node, W1) @ gone),
            (B2, W2, np.einsum("ehi,ei->eh", _stored(node, W2), hidden)),
        ):
            if shift.any():
                bias = _stored(node, position) + shift
                dtype = np.asarray(node.static(weights)).dtype
                edit.inputs[position] = cut_array(bias, keeps.vectors(node.inputs[weights])[:2]).astype(dtype)
        return edit

    def given_out(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Outputs [e, h] of single experts that are constant, and the constants."""
        (known, value), weights = self.hidden(node, xs), _stored(node, W2)
        still = (known[:, np.newaxis] | (weights == 0)).all(axis=2)
        return still, np.einsum("ehi,ei->eh", weights, value) + _stored(node, B2)

    def hidden(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Hidden units [e, i] that are constant, and the constants."""
        weights = _stored(node, W1)
        known, value = xs[X].per_index(xs[X].rank - 1, node.x_shape(X)[-1])
        still = (known | (weights == 0)).all(axis=2)
        total = np.where(still, weights @ np.where(known, value, 0.0) + _stored(node, B1), 0.0)
        still, total = still[:, :: _rows(node)], total[:, :: _rows(node)]  # of a pair, what the other is multiplied by
        function = _ACTIVATIONS[_activation(node)]
        if function is None:
            limited = float(node.attr("swiglu_limit", 1.0)) <= 0
            return still & (total == 0) & (not limited), np.zeros_like(total)
        return still, np.where(still, function(total), 0.0)


class QuantisedExperts(Operator):
    """Experts in few bits."""

    stated = replace(SUMMING, jumps=True, packed=(2, 5, 8, 11, 12, 13))
    conceals = MixtureOfExperts.conceals
    lock_detail = "needs what it packs whole"

    def axes(self, node: OpNode) -> Correspondence:
        tokens, fused = "t" if len(node.x_shape(X)) == 2 else "b s", int(node.attr("swiglu_fusion", 0)) > 0
        return Axes(
            f"X: {tokens} h, scores: ({tokens}) e, W1: e (i f) p -> Y: {tokens} h",
            whole="h e i f p",
            loops=f"{tokens} k i f h | {tokens} k h i",
            given={"k": int(node.attr("k", 1)), "f": 2 if fused else 1},
        )(node)

    def experts(self, node: OpNode) -> Stacked | None:
        """Without normalisation, kernels differ in what the shares are of."""
        weights = tuple(range(2, 14))
        stored = all(node.static(p) is not None for p in weights if node.has(p))
        known = stored and bool(node.attr("normalize_routing_weights", 0)) and len(node.inputs) <= 14
        return Stacked(SCORES, weights, int(node.attr("k", 1)), renormalised=True) if known else None


def _activation(node: OpNode) -> str:
    return str(node.attr("activation_type", "relu"))


def _rows(node: OpNode) -> int:
    """How many rows of W1 make a hidden unit."""
    return 2 if _activation(node) == _GATED else 1


def _stored(node: OpNode, position: int) -> Array:
    """Weights in double precision; zeros for a bias that is left out."""
    if not node.has(position):
        return np.zeros(node.x_shape(position - 1)[:2])
    key = f"stored {position}"
    if key not in node.memo:
        node.memo[key] = np.asarray(node.static(position), np.float64)
    return np.asarray(node.memo[key])


register(MixtureOfExperts(), "MoE", domain=CONTRIB)
register(QuantisedExperts(), "QMoE", domain=CONTRIB)
