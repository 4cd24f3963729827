"""Scattering: Y is X, with updates written into places that indices name; gathering: Y is what stands there.

ScatterND        X [*w *r]  indices [*u, len(w)]  updates [*u *r]  Y [*w *r];  an index names a place on the axes w
ScatterElements  X, Y [*w *r]  indices, updates [*u *r];  w is `axis`, and axes along which the indices are fewer
GatherElements   X [*w *r]  indices, Y [*u *r];  the same axes
GatherND         X [*b *w *r]  indices [*b *u, len(w)]  Y [*b *u *r];  the first `batch_dims` axes are shared by all

`reduction` (from opset 16 on): none, add, mul, and from 18 on max, min.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.along import across
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored, most, operands
from analyzer.ops.move import MOVED
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import CONTINUOUS, Traits

#: Updates that leave an element as it is.
_NEUTRAL = {"add": 0.0, "mul": 1.0}
_CHOOSING = {"max": np.maximum, "min": np.minimum}


@dataclass(frozen=True, slots=True)
class Layout:
    """A letter per axis: `w` of axes that are written into, `u` of what is written, `r` of those that both share."""

    x: tuple[str, ...]
    indices: tuple[str, ...]
    updates: tuple[str, ...]

    @property
    def whole(self) -> str:
        """The letters that are not shared."""
        return " ".join(i for i in dict.fromkeys((*self.x, *self.indices, *self.updates)) if i[0] != "r")


class Scatter(Operator):
    """Facts pass along the axes that no index addresses; those that indices address stay whole."""

    lock_detail = "needs the axes that indices address whole"
    puts_at: int | None = 1
    stated = replace(CONTINUOUS, geometry=(1,))

    def layout(self, node: OpNode) -> Layout:
        """The axes of the call."""
        named, rank = node.x_shape(1)[-1], len(node.x_shape())
        rest = tuple(f"r{axis}" for axis in range(named, rank))
        batch = tuple(f"u{axis}" for axis in range(len(node.x_shape(1)) - 1))
        return Layout((*(f"w{axis}" for axis in range(named)), *rest), (*batch, "u"), (*batch, *rest))

    def written(self, node: OpNode) -> Mask | None:
        """Which elements of X are written over, as a pattern; None where that is not known.

        Stored indices that fill an axis of this run need not fill it where X is longer.
        """
        layout, indices = self.layout(node), node.static(1)
        reached = {axis for axis, letter in enumerate(layout.x) if letter[0] == "w" or letter in layout.indices}
        free = reached & (node.in_free[0] if node.in_free else frozenset())
        return None if indices is None or free else pattern.compress(self.covered(node, indices))

    def covered(self, node: OpNode, indices: Array) -> Mask:
        """Which elements of X these indices name."""
        named, shape = indices.shape[-1], node.x_shape()
        mask = np.zeros(shape[:named], np.bool_)
        mask[tuple(np.moveaxis(indices, -1, 0))] = True
        return mask.reshape(*mask.shape, *(1,) * (len(shape) - named))

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        """What is added or multiplied with a NaN is one; what is written over is gone."""
        shown = (0, 2) if str(node.attr("reduction", "none")) in _NEUTRAL else ()
        return replace(stated, carries_nan=shown, carries_infinity=shown)

    def axes(self, node: OpNode) -> Correspondence:
        layout = self.layout(node)
        x, indices, updates = (" ".join(letters) for letters in (layout.x, layout.indices, layout.updates))
        return Axes(f"X: {x}, indices: {indices}, updates: {updates} -> Y: {x}", whole=layout.whole)(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """What is written is known where all updates agree."""
        x, reduction = xs[0], str(node.attr("reduction", "none"))
        if 0 in node.x_shape(2):
            return [Constants(x.known, x.number)]
        known, value = self._updates(node, xs[2])
        if reduction in _NEUTRAL:
            known, value = x.known & known & (value == _NEUTRAL[reduction]), x.number
        elif reduction in _CHOOSING:
            known, value = x.known & known, _CHOOSING[reduction](x.number, value)
        written = self.written(node)
        if written is None:
            known = known & x.known & (value == x.number)
        else:
            known, value = np.where(written, known, x.known), np.where(written, value, x.number)
        return [Constants(known, np.where(known, value, 0.0))]

    def _updates(self, node: OpNode, updates: Constants) -> tuple[Mask, Array]:
        """The constants that are written, whichever update it is: as a pattern of X."""
        layout = self.layout(node)
        own = tuple(axis for axis, letter in enumerate(layout.updates) if letter[0] == "u")
        low, high = (f(updates.number, axis=own, keepdims=True) for f in (np.min, np.max))
        known = pattern.every(updates.known, own, keepdims=True) & (low == high)
        return self._onto(known, layout.updates, layout.x), self._onto(low, layout.updates, layout.x)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        """Updates are needed along the shared axes; X is not where it is written over."""
        layout, asked, mask = self.layout(node), ys[0], self.written(node)
        kept = written = asked
        if mask is not None:
            written = asked & mask
            kept = asked & ~mask if str(node.attr("reduction", "none")) == "none" else asked
        addressed = tuple(axis for axis, letter in enumerate(layout.x) if letter[0] == "w")
        updates = self._onto(pattern.some(written, addressed, keepdims=True), layout.x, layout.updates)
        elsewhere = tuple(axis for axis, letter in enumerate(layout.updates) if letter not in layout.indices)
        read = self._onto(pattern.some(updates, elsewhere, keepdims=True), layout.updates, layout.indices)
        return [kept, read, updates]

    def _onto(self, array: Array, letters: Sequence[str], onto: Sequence[str]) -> Array:
        """A pattern that varies along shared axes alone, for a value with other letters."""
        lengths = dict(zip(letters, array.shape, strict=True))
        return array.reshape([lengths[letter] if letter[0] == "r" and letter in lengths else 1 for letter in onto])

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        if str(node.attr("reduction", "none")) in _NEUTRAL:
            return None
        parts = operands((xs[0], xs[2]), lambda position: stored(2 * position))
        return None if parts is None else most(parts)


class ScatterElements(Scatter):
    """An index per update, which names a place on one axis."""

    def layout(self, node: OpNode) -> Layout:
        shape, written = node.x_shape(), node.x_shape(1)
        axis = int(node.attr("axis", 0)) % len(shape)
        shared = [a != axis and shape[a] == written[a] for a in range(len(shape))]
        x, updates = (tuple(f"{'r' if s else own}{a}" for a, s in enumerate(shared)) for own in "wu")
        return Layout(x, updates, updates)

    def covered(self, node: OpNode, indices: Array) -> Mask:
        places = np.indices(indices.shape)
        places[int(node.attr("axis", 0)) % indices.ndim] = indices
        mask = np.zeros(node.x_shape(), np.bool_)
        mask[tuple(places)] = True
        return mask


class GatherElements(ScatterElements):
    """An index per element of Y, which names a place on one axis of X; `updates` are the letters of Y."""

    puts_at = None

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        return stated

    def axes(self, node: OpNode) -> Correspondence:
        layout = self.layout(node)
        x, indices, y = (" ".join(letters) for letters in (layout.x, layout.indices, layout.updates))
        return Axes(f"X: {x}, indices: {indices} -> Y: {y}", whole=layout.whole)(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """What is the same wherever an index may point."""
        layout = self.layout(node)
        found = across(xs[0], tuple(axis for axis, letter in enumerate(layout.x) if letter[0] == "w"))
        known, number = (self._onto(array, layout.x, layout.updates) for array in (found.known, found.number))
        return [Constants(known, number)]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        layout = self.layout(node)
        asked = ys[0] & ~self.constants(node, xs)[0].known
        own, apart = (
            tuple(axis for axis, letter in enumerate(layout.updates) if letter not in other)
            for other in (layout.x, layout.indices)
        )
        x, indices = (pattern.some(asked, axes, keepdims=True) for axes in (own, (*own, *apart)))
        return [self._onto(x, layout.updates, layout.x), self._onto(indices, layout.updates, layout.indices)]

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return xs[0]


class GatherND(GatherElements):
    """Each index names a place on several axes of X, or all of them."""

    def looks_up(self, node: OpNode) -> bool:
        return node.x_shape(1)[-1] == 1 and not node.attr("batch_dims", 0) and node.static(1) is None

    def layout(self, node: OpNode) -> Layout:
        rank, width, shared = len(node.x_shape()), len(node.x_shape(1)), int(node.attr("batch_dims", 0))
        named = shared + node.x_shape(1)[-1]
        batch = tuple(f"r{axis}" for axis in range(shared))
        rest = tuple(f"r{axis}" for axis in range(named, rank))
        places = (*batch, *(f"u{axis}" for axis in range(shared, width - 1)))
        x = (*batch, *(f"w{axis}" for axis in range(shared, named)), *rest)
        return Layout(x, (*places, "u"), (*places, *rest))


register(Scatter(), "ScatterND")
register(ScatterElements(), "ScatterElements")
register(GatherElements(), "GatherElements", traits=replace(MOVED, geometry=(1,)))
register(GatherND(), "GatherND", traits=replace(MOVED, geometry=(1,)))
