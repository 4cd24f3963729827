"""Operators that work along some axes alone, and treat every index of the others by itself.

CumSum             X [*a], axis  Y [*a];  sums of all entries so far
Trilu              X [*a, r, c], k  Y [*a, r, c];  zeros above or below a diagonal
ReverseSequence    X [*a], lengths [batch]  Y [*a];  the first entries along time, backwards
TopK               X [*a], k  Y, places [*a, k along one axis]
Compress           X [*a], chosen  Y [*a, fewer along one axis]
GridSample         X [n, c, *s], grid [n, *t, rank]  Y [n, c, *t];  places between entries of X, or beyond them
RoiAlign, MaxRoiPool   X [n, c, h, w], regions  Y [regions, c, *t]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY, STEADY, Traits
from analyzer.ops.trend import SELECTS, Trend

Chosen = Callable[[OpNode], Sequence[int] | None]


def across(x: Constants, axes: tuple[int, ...], passes: Callable[[Array], Mask] | None = None) -> Constants:
    """What is one constant all along these axes, and comes through; everything does where `passes` is not given."""
    low, high = (f(x.number, axis=axes, keepdims=True) for f in (np.min, np.max))
    known = pattern.every(x.known, axes, keepdims=True) & (low == high)
    known = known if passes is None else known & passes(low)
    return Constants(known, np.where(known, low, 0.0))


def beside(node: OpNode, axes: Sequence[int], others: str = "") -> Correspondence:
    """All axes in common but these, which stay whole: `w` letters of the first input, `v` letters of the outputs."""
    letters = row("a", len(node.x_shape()))
    x, y = (" ".join(f"{own}{a}" if a in axes else i for a, i in enumerate(letters)) for own in "wv")
    outputs = ", ".join(f"Y: {y}" for _ in node.outputs)
    whole = " ".join(f"w{a} v{a}" for a in axes)
    return Axes(f"X: {x}{others} -> {outputs}", whole=f"{whole} g")(node)


class Along(Operator):
    """Constants pass if they are one along the axes and the operator leaves that number as it is."""

    def __init__(self, axes: Chosen, passes: Callable[[Array], Mask] | None = None, others: str = "") -> None:
        """`axes` names the axes, None where a run decides; `others` are the letters of further inputs."""
        self._axes, self._passes, self._others = axes, passes, others

    def along(self, node: OpNode) -> tuple[int, ...]:
        """The axes, counted from the front."""
        return tuple(a % len(node.x_shape()) for a in self._axes(node) or ())

    def unsupported(self, node: OpNode) -> str | None:
        return "an axis computed at run time" if self._axes(node) is None else None

    def axes(self, node: OpNode) -> Correspondence:
        return beside(node, self.along(node), self._others.format(batch=int(node.attr("batch_axis", 1))))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = across(xs[0], self.along(node), self._passes)
        return [found, *(Constants.unknown(found.rank) for _ in node.outputs[1:])]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked = pattern.some(ys[0], self.along(node), keepdims=True)
        for further in ys[1:]:
            asked = asked | pattern.some(further, self.along(node), keepdims=True)
        return [asked, *(pattern.uniform(x.rank, True) for x in xs[1:])]


class Choosing(Along):
    """Entries of the first input, some of them."""

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return xs[0]


class Largest(Along):
    """TopK: entries, and their places."""

    def picks(self, node: OpNode) -> tuple[int, int] | None:
        return 1, self.along(node)[0]

    def trend(self, node: OpNode) -> Trend | None:
        """The k-th largest of larger entries is no smaller."""
        return SELECTS if node.attr("sorted", 1) and node.static(1) is not None else None


class Compress(Choosing):
    """Of one axis, or of all elements in a row."""

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        axis = node.attr("axis")
        return replace(stated, windows=EVERY if axis is None else (int(axis),))


class Sampling(Along):
    """GridSample: an average of neighbours; beyond the border zeros, or what lies inside."""

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        inside = str(node.attr("padding_mode", "zeros")) != "zeros"
        return [across(xs[0], self.along(node), None if inside else _zero)]


def _zero(value: Array) -> Mask:
    return np.asarray(value == 0)


def _named(node: OpNode) -> Sequence[int] | None:
    return [int(node.attr("axis", -1))]


def _named_in_input(node: OpNode) -> Sequence[int] | None:
    return node.ints(1, "")


def _in_time(node: OpNode) -> Sequence[int]:
    return [int(node.attr("time_axis", 0))]


def _last_two(node: OpNode) -> Sequence[int]:
    return -2, -1


def _behind_channels(node: OpNode) -> Sequence[int]:
    return range(2, len(node.x_shape()))


def _all_but_channels(node: OpNode) -> Sequence[int]:
    return 0, 2, 3


def _chosen(node: OpNode) -> Sequence[int] | None:
    axis = node.attr("axis")
    return None if axis is None else [int(axis)]


_INDEXED = replace(CONTINUOUS, geometry=(1,), passes_geometry=True)
_REGIONS = replace(STEADY, geometry=(2,))
_FEWER = replace(STEADY, lengths_from=(1,), geometry=(1,))
register(Along(_named_in_input, _zero), "CumSum", traits=_INDEXED)
register(Along(_last_two, _zero), "Trilu", traits=_INDEXED)
register(Choosing(_in_time, others=", lengths: a{batch}"), "ReverseSequence", traits=_INDEXED)
register(Largest(_named), "TopK", traits=_FEWER)
register(Compress(_chosen), "Compress", traits=replace(_FEWER, passes_geometry=True))
register(Sampling(_behind_channels, others=", grid: a0 *g"), "GridSample", traits=STEADY)
register(Along(_all_but_channels, _zero), "RoiAlign", traits=_REGIONS)
register(Along(_all_but_channels, _zero), "MaxRoiPool", traits=STEADY)
