"""Reductions: Y = f(X) over some axes; the others keep their places.

X [*shape]  Y [*shape with the reduced axes 1 or gone];  `axes` is an attribute before opset 18 (ReduceSum: 13).
Zeros add nothing to a sum, so they go; a mean over d of D numbers is multiplied by d / D for that.
ArgMax and ArgMin reduce one axis, `axis`, to the place of an extremum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import Operator, register
from analyzer.ops.pull_back import Tape, by_extreme, repeated
from analyzer.ops.traits import CONTINUOUS, STEADY
from analyzer.ops.trend import LARGEST_OF, LEAST_NORM, UNIT, Ends, Trend

#: Reductions of one constant that give a constant whatever the number of elements.
_IDEMPOTENT: dict[str, Callable[..., Array]] = {"ReduceMean": np.mean, "ReduceMax": np.max, "ReduceMin": np.min}
#: Reductions of zeros that give zero.
_ZERO = ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")


class ReduceRule(Operator):
    """The reduced axes stay whole."""

    def unsupported(self, node: OpNode) -> str | None:
        dynamic = node.has(1) and node.static(1) is None
        return "axes computed at run time" if dynamic else None

    def axes(self, node: OpNode) -> Correspondence:
        letters, gone = row("a", len(node.x_shape())), self.reduced(node)
        for axis in gone:
            letters[axis] = f"m{axis}"
        kept, loose = bool(node.attr("keepdims", 1)), self.loose(node)
        left = [f"one{axis}" if axis in gone else i for axis, i in enumerate(letters) if kept or axis not in gone]
        whole = " ".join((*(letters[axis] for axis in gone if axis not in loose), *(f"one{axis}" for axis in gone)))
        one = " ".join(letters[axis] for axis in loose)
        return Axes(f"X: {' '.join(letters)} -> Y: {' '.join(left)}", whole=whole, one=one)(node)

    def loose(self, node: OpNode) -> list[int]:
        """The reduced axes from which zeros may go."""
        return []

    def reduced(self, node: OpNode) -> list[int]:
        """The reduced axes."""
        rank = len(node.x_shape())
        axes = node.ints(1, "axes")
        if not axes:
            return [] if node.attr("noop_with_empty_axes", 0) else list(range(rank))
        return sorted(a % rank for a in axes)

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        if position or node.op_type not in ("ReduceMean", "ReduceSum"):
            return None
        return repeated(node, tape, rows, self.reduced(node), mean=node.op_type == "ReduceMean")

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        """Of an extreme, to where it is."""
        if not position and node.op_type in ("ReduceMax", "ReduceMin"):
            return by_extreme(node, tape, gradient, self.reduced(node), largest=node.op_type == "ReduceMax")
        return super().pull_back(node, position, tape, gradient, output)

    def _drop(self, array: Array, node: OpNode) -> Array:
        """Reduced axes have length 1 here; take them away where the operator does."""
        return array if node.attr("keepdims", 1) else np.squeeze(array, axis=tuple(self.reduced(node)))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        axes, x = tuple(self.reduced(node)), xs[0]
        if node.op_type in _IDEMPOTENT:
            wide = x.number
            for axis in axes:
                wide = pattern.along(wide, axis, node.x_shape()[axis])
            known = pattern.every(x.known, axes, keepdims=True)
            value = _IDEMPOTENT[node.op_type](wide, axis=axes, keepdims=True) if axes else wide
            if node.op_type == "ReduceMean" and "int" in (node.x_dtype or "int"):
                known = known & (value == np.trunc(value))  # of whole numbers the fraction is cut off
        elif node.op_type in _ZERO:
            known = pattern.every(x.zero, axes, keepdims=True)
            value = np.zeros(known.shape)
        else:
            return [Constants.unknown(len(node.y_shape()))]
        return [Constants(self._drop(known, node), self._drop(np.where(known, value, 0.0), node))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        mask = ys[0] if node.attr("keepdims", 1) else np.expand_dims(ys[0], tuple(self.reduced(node)))
        if node.op_type in ("ReduceLogSum", "ReduceLogSumExp") and mask.any():
            mask = pattern.uniform(xs[0].rank, True)
        return [mask, *(pattern.uniform(x.rank, True) for x in xs[1:])]

    def trend(self, node: OpNode) -> Trend | None:
        terms = prod(node.x_shape()[axis] for axis in self.reduced(node))
        if node.op_type in ("ReduceMax", "ReduceMin"):
            return LARGEST_OF
        if node.op_type in ("ReduceMean", "ReduceSum"):
            return Trend(terms=terms, linear=True)
        if node.op_type in ("ReduceL1", "ReduceL2", "ReduceSumSquare"):
            return Trend(Ends.EVEN, relative=(terms + 4) * UNIT, absolute=LEAST_NORM, low=0.0)
        return None

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        of_squares = node.op_type in ("ReduceL1", "ReduceL2", "ReduceSumSquare")
        of_others = node.op_type in ("ReduceSum", *_IDEMPOTENT) and xs[0] is not None and xs[0] >= 0
        return 0.0 if "float" in (node.y_dtype or "") and (of_squares or of_others) else None


class AddingRule(ReduceRule):
    """Sums, norms and means: zeros go."""

    lock_reason = "constant-not-zero"
    lock_detail = "adds it up, where only zeros can go"

    def loose(self, node: OpNode) -> list[int]:
        if node.op_type == "ReduceMean" and "float" not in (node.x_dtype or ""):  # the fraction is cut off
            return []
        free = node.in_free[0] if node.in_free else frozenset[int]()
        return [axis for axis in self.reduced(node) if axis not in free]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        first, *rest = super().needs(node, ys, xs, yc)
        return [first & ~xs[0].zero if self.loose(node) else first, *rest]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Of D numbers d are left: what comes out of a mean is multiplied by d / D."""
        kept = (cut.keeps.get(node.x(0, axis)) for axis in self.loose(node))
        return Edit(factor=prod(float(v.mean()) for v in kept) if node.op_type == "ReduceMean" else 1.0)


class PlaceRule(ReduceRule):
    """ArgMax, ArgMin: the first of several equal ones, or the last."""

    ranks = True

    def unsupported(self, node: OpNode) -> str | None:
        return None

    def reduced(self, node: OpNode) -> list[int]:
        return [int(node.attr("axis", 0)) % len(node.x_shape())]

    def picks(self, node: OpNode) -> tuple[int, int] | None:
        return 0, self.reduced(node)[0]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        (axis,) = self.reduced(node)
        known = pattern.every(xs[0].known, axis, keepdims=True)
        wide = pattern.along(xs[0].number, axis, node.x_shape()[axis])
        last, sign = bool(node.attr("select_last_index", 0)), 1 if node.op_type == "ArgMax" else -1
        place = np.argmax(sign * (np.flip(wide, axis) if last else wide), axis, keepdims=True).astype(np.float64)
        place = wide.shape[axis] - 1 - place if last else place
        known = known & (axis not in node.in_free[0] if node.in_free else True)
        return [Constants(self._drop(known, node), self._drop(np.where(known, place, 0.0), node))]


_REDUCED = replace(CONTINUOUS, lengths_from=(1,), geometry=(1,))
_SUMMED = replace(_REDUCED, carries_nan=(0,), carries_infinity=(0,))
register(AddingRule(), "ReduceMean", "ReduceSum", traits=_SUMMED)
register(AddingRule(), "ReduceL1", "ReduceL2", "ReduceSumSquare", traits=_REDUCED)
register(ReduceRule(), "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp", traits=_REDUCED)
register(ReduceRule(), "ReduceLogSum", traits=replace(_REDUCED, jumps=True))
register(PlaceRule(), "ArgMax", "ArgMin", traits=STEADY)
