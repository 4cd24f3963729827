"""Pad: X [*shape] with a border of constants, of copies or of reflections.

`pads` is an attribute before opset 11; `axes` an input from 18 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Array
from analyzer.graph import Node
from analyzer.ops.along import across
from analyzer.ops.largest import Stored
from analyzer.ops.move import MOVED, Chain, MoveRule, Take
from analyzer.ops.node import OpNode
from analyzer.ops.operator import register
from analyzer.ops.traits import EVERY, Traits


class PadRule(MoveRule):
    """Padded spatial axes mix border and inside; a padded unit axis gains indices that are constant."""

    keeps_empty = False

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        computed = len(node.inputs) > 1 and stored(1) is None
        return replace(stated, windows=EVERY) if computed else stated

    def unsupported(self, node: OpNode) -> str | None:
        if any(node.has(i) and node.static(i) is None for i in (2, 3)):
            return "a filling or axes computed at run time"
        if node.attr("mode", "constant") not in ("constant", "edge", "reflect"):
            return "a wrapping pad"
        return None

    def amounts(self, node: OpNode) -> dict[int, tuple[int, int]]:
        """Per padded axis: before and after (negative: cropped)."""
        pads = node.ints(1, "pads") or []
        rank, half = len(node.x_shape()), len(pads) // 2
        axes = node.ints(3, "") if node.has(3) else list(range(half))
        named = [a % rank for a in axes or []]
        return {a: (pads[i], pads[half + i]) for i, a in enumerate(named) if pads[i] or pads[half + i]}

    def unsteady(self, node: OpNode) -> tuple[int, ...]:
        """Where amounts are computed: the axes of which the file does not say that nothing is put there."""
        if not node.has(1) or node.static(1) is not None:
            return ()
        rank, amounts = len(node.x_shape()), node.partly[1] if node.partly else None
        named = node.ints(3, "") or list(range(rank))
        zero = np.broadcast_to(np.zeros(1, np.bool_) if amounts is None else amounts.zero, (2 * len(named),))
        return tuple(axis % rank for place, axis in enumerate(named) if not zero[place :: len(named)].all())

    def fill(self, node: OpNode) -> float:
        array = node.static(2)
        return float(np.ravel(array)[0]) if array is not None and array.size else float(node.attr("value", 0.0))

    def selects(self, node: OpNode) -> bool:
        return bool(node.attr("mode", "constant") != "constant")

    def chains(self, node: OpNode) -> list[Chain]:
        mode, steps = node.attr("mode", "constant"), []
        for axis, (before, after) in self.amounts(node).items():
            length = node.x_shape()[axis]
            place = np.arange(-before, length + after)
            if mode == "edge":
                place = np.clip(place, 0, length - 1)
            elif mode == "reflect":
                place = np.abs(place)
                place = np.where(place >= length, 2 * (length - 1) - place, place)
            else:
                place = np.where((place < 0) | (place >= length), -1, place)
            steps.append(Take(axis, place, length))
        return [steps]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """Along an axis on which X does not vary, only what equals the filling stays constant."""
        unsteady, fill = self.unsteady(node), self.fill(node)
        x = across(xs[0], unsteady) if unsteady else xs[0]
        known, value = x.known, x.number
        held, factor, bordered = known, value, bool(unsteady) and 1 not in unsteady
        if unsteady and node.attr("mode", "constant") == "constant":
            known = known & (value == fill)
        for step in [] if unsteady else self.chains(node)[0]:
            assert isinstance(step, Take)
            outside = bool((step.indices < 0).any())
            whole = known.shape[step.axis] == 1 and value.shape[step.axis] == 1
            if outside and whole and (held.any() or not _unit_like(node, step.axis)):
                known = known & (value == fill)
                if step.axis != 1:  # inside a constant, outside the filling: with zeros, a multiple of one map
                    bordered = True
                    continue
            else:
                known, value = step.forward(known, True), step.forward(value, fill)
            held, factor = step.forward(held, True), step.forward(factor, fill)
        useful = bordered and fill == 0 and bool((held & ~known).any())
        multiples = Multiples(node.outputs[0], held, np.where(held, factor, 0.0)) if useful else None
        return [Constants(known, np.where(known, value, 0.0), multiples)]

    def places(self, node: OpNode, position: int, axis: int, output: int = 0) -> Array | None:
        unsteady = self.unsteady(node)  # of what is put in front of it nobody knows how much it is
        return None if unsteady else super().places(node, position, axis, output)

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return None  # the filling may be anything

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        return None

    def whole_x(self, node: OpNode) -> Sequence[int]:
        return list(self.amounts(node))  # the border of a smaller value would have to be another one

    def whole_y(self, node: OpNode) -> Sequence[int]:
        return list(self.amounts(node))


def _unit_like(node: OpNode, axis: int) -> bool:
    """Whether padding that axis adds units rather than a border: the channel axis, or the last of few."""
    rank = len(node.x_shape())
    return axis == 1 or (axis == rank - 1 and rank <= 3 and node.x_shape()[axis] > 1)


register(PadRule(), "Pad", traits=replace(MOVED, lengths_from=(1, 3), geometry=(1, 3)))
