"""Normalisation by the root mean square, and normalisations that add a skip connection first (com.microsoft).

X [*b, m], scale [m]: Y = scale * X / sqrt(mean of X^2 + epsilon). Skip forms: X + skip + bias in place of X, which
comes out as a fourth output where that is named. Channels that are 0 add nothing to the sum of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops.affine import Normalisation, Summand
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array
from analyzer.ops.norm import Normalised, root_of_length
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.traits import CONTINUOUS
from analyzer.ops.trend import Trend

_SUM = 3  # the output that gives what is normalised


class RootMeanSquare(Normalised):
    """RMSNormalization, SimplifiedLayerNormalization: Y = scale * X / sqrt(mean(X^2) + epsilon).

    Of one axis, channels that are 0 may go: of D there are d left, scale' = scale * sqrt(D / d) and
    epsilon' = epsilon * D / d.
    """

    def axes(self, node: OpNode) -> Correspondence:
        if self.narrows(node):
            return Axes("X: *a m, scale: m -> Y: *a m", one="m", made="m")(node)
        return super().axes(node)

    def narrows(self, node: OpNode) -> bool:
        """Whether channels can go."""
        scale, last = node.static(1), len(node.x_shape()) - 1
        alone = self.normalised(node) == [last] and node.only_first_output
        return alone and scale is not None and scale.shape == node.x_shape()[last:] and _epsilon(node, 1e-5) > 0

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        first, *rest = super().constants(node, xs)
        zero = (xs[0].zero & (_epsilon(node, 1e-5) > 0)) | first.known
        return [Constants(zero, np.zeros((1,) * zero.ndim)), *rest]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        first, *rest = super().needs(node, ys, xs, yc)
        return [first & ~xs[0].zero if self.narrows(node) else first, *rest]

    def trend(self, node: OpNode) -> Trend | None:
        """None of so many numbers is larger than the root of their number times their root mean square."""
        length = prod(node.x_shape()[axis] for axis in self.normalised(node))
        return root_of_length(node, length) if int(node.attr("stash_type", 1)) == 1 else None

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        return _narrowed(node, cut, 1, _epsilon(node, 1e-5)) if self.narrows(node) else Edit()


def _epsilon(node: OpNode, usual: float) -> float:
    return float(node.attr("epsilon", usual))


def _narrowed(node: OpNode, cut: Cut, position: int, epsilon: float) -> Edit:
    """The scale at this position and epsilon for the mean over fewer channels; those that go are 0."""
    kept, stored = cut.keeps.get(node.x(position, 0)), node.static(position)
    if stored is None or kept.all():
        return Edit()
    ratio = len(kept) / kept.sum()
    scale = (stored.astype(np.float64) * np.sqrt(ratio)).astype(stored.dtype)
    return Edit({position: cut_array(scale, [kept])}, {"epsilon": epsilon * ratio})


class SkipNorm(Normalised):
    """com.microsoft SkipLayerNormalization: the sum of X, skip and bias, normalised."""

    letters = "X: *b m, skip: *b m, gamma: m, beta: m, bias: m"
    scale, shift, bias = 2, 3, 4

    def axes(self, node: OpNode) -> Correspondence:
        whole, one = ("", "m") if self.narrows(node) else ("m", "")
        text = f"{self.letters} -> Y: *b m, mean: *b m, deviation: *b m, sum: *b m"
        return Axes(text, whole=whole, one=one, made="m")(node)

    def narrows(self, node: OpNode) -> bool:
        """Whether channels can go."""
        return False

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return Normalisation(self.scale, self.shift or None)

    def normalised(self, node: OpNode) -> list[int]:
        return [len(node.x_shape()) - 1]

    def summand(self, node: OpNode, position: int) -> Summand | None:
        takes = position in (0, 1) and node.static(self.bias) is not None
        return Summand(self.bias) if takes else None

    def total(self, node: OpNode, xs: Sequence[Constants]) -> Constants:
        """What is normalised."""
        known, number = pattern.uniform(xs[0].rank, True), np.zeros((1,) * xs[0].rank)
        for position in (0, 1, self.bias):
            if node.has(position):
                missing = (None,) * (xs[0].rank - xs[position].rank)
                known, number = known & xs[position].known[missing], number + xs[position].number[missing]
        return Constants(known, np.where(known, number, 0.0))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = [Constants.unknown(len(s or ())) for s in node.out_shapes]
        if len(found) > _SUM:
            found[_SUM] = self.total(node, xs)
        rank = xs[0].rank
        scale, shift = xs[self.scale], xs[self.shift] if self.shift and node.has(self.shift) else None
        known = scale.zero if shift is None else scale.zero & shift.known
        number = np.zeros(1) if shift is None else shift.number
        missing = (None,) * (rank - 1)
        found[0] = Constants(known[missing], np.where(known, number, 0.0)[missing])
        return found

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        claims = self.constants(node, xs)
        asked = pattern.some(ys[0] & ~claims[0].known, -1, keepdims=True)
        asked = asked | any(mask.any() for mask in ys[1:_SUM])
        both = self.read(node, xs, asked)
        if len(ys) > _SUM:
            both = both | (ys[_SUM] & ~claims[_SUM].known)
        result = [pattern.any_to(both, node.in_shapes[p] or ()) for p in range(len(xs))]
        for position in (self.scale, self.shift):
            if position and node.has(position):
                result[position] = pattern.any_to(ys[0], node.x_shape(position))
        return result

    def read(self, node: OpNode, xs: Sequence[Constants], asked: Mask) -> Mask:
        """What is needed of the sum where some of the result is."""
        return asked


class SkipRootMeanSquare(SkipNorm):
    """com.microsoft SkipSimplifiedLayerNormalization: the same by the root mean square, of which zeros may go."""

    letters = "X: *b m, skip: *b m, gamma: m, bias: m"
    shift, bias = 0, 3

    def narrows(self, node: OpNode) -> bool:
        return node.static(self.scale) is not None and not any(node.used_outputs[1:_SUM]) and _epsilon(node, 1e-12) > 0

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        first, *rest = super().constants(node, xs)
        zero = first.known | (self.total(node, xs).zero & (_epsilon(node, 1e-12) > 0))
        return [Constants(zero, np.zeros((1,) * zero.ndim)), *rest]

    def read(self, node: OpNode, xs: Sequence[Constants], asked: Mask) -> Mask:
        return asked & ~self.total(node, xs).zero if self.narrows(node) else asked

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        return _narrowed(node, cut, self.scale, _epsilon(node, 1e-12)) if self.narrows(node) else Edit()


class EmbedNorm(Normalised):
    """com.microsoft EmbedLayerNormalization: rows of up to three tables, added, then normalised; which keys count.

    ids, segments [b, s], tables [rows, m], gamma, beta [m], mask, positions [b, s] -> Y [b, s, m], counts [b],
    sum [b, s, m].
    """

    letters = "ids: b s, segments: b s, words: x m, places: y m, kinds: z m, gamma: m, beta: m, mask: b s, at: b s"

    def axes(self, node: OpNode) -> Correspondence:
        return Axes(f"{self.letters} -> Y: b s m, counts: b, sum: b s m", whole="s x y z m", made="m")(node)

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return Normalisation(5, 6)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = [Constants.unknown(len(s or ())) for s in node.out_shapes]
        known = xs[5].zero & xs[6].known
        found[0] = Constants(known[None, None], np.where(known, xs[6].number, 0.0)[None, None])
        return found

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        return [pattern.uniform(x.rank, True) for x in xs]


register(RootMeanSquare(), "RMSNormalization", "SimplifiedLayerNormalization")
register(RootMeanSquare(), "SimplifiedLayerNormalization", domain=CONTRIB)
register(SkipNorm(), "SkipLayerNormalization", domain=CONTRIB)
register(SkipRootMeanSquare(), "SkipSimplifiedLayerNormalization", domain=CONTRIB)
register(EmbedNorm(), "EmbedLayerNormalization", domain=CONTRIB, traits=replace(CONTINUOUS, geometry=(0, 1, 7, 8)))
