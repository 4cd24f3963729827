"""Results that list numbers or places: what they hold, and mostly how long they are, values or lengths decide.

NonZero            X [*shape]  Y [rank, places]
Unique             X [*shape]  Y, and where each came from
NonMaxSuppression  boxes, scores  Y [chosen, 3]
Range              start, limit, step  Y [steps]
OneHot             indices [*i], depth, values [2]  Y [*i with an axis more];  each index by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import STEADY, Traits


class Listing(Operator):
    """All of the input is read, and all of the result stays."""

    lock_detail = "needs its input whole"


class NonZero(Listing):
    """Places."""

    lists_nonzero = True


class OneHot(Listing):
    """Along a new axis a number stands out at each index."""

    def axes(self, node: OpNode) -> Correspondence:
        letters = row("i", len(node.x_shape()))
        axis = int(node.attr("axis", -1)) % (len(letters) + 1)
        y = " ".join((*letters[:axis], "d", *letters[axis:]))
        return Axes(f"indices: {' '.join(letters)}, _, _ -> Y: {y}", whole="d")(node)

    def marks(self, node: OpNode, position: int) -> Array | None:
        depth, values = node.static(1), node.static(2)
        if position or depth is None or values is None or values[0] != 0:
            return None
        rank = len(node.y_shape())
        return pattern.on_axis(np.arange(int(depth.reshape(()))), int(node.attr("axis", -1)) % rank, rank)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked = pattern.some(ys[0], int(node.attr("axis", -1)) % ys[0].ndim)
        return [asked, *(pattern.uniform(x.rank, True) for x in xs[1:])]


_FOUND = Traits(draws=False, regroups=False, sums_products=False)
register(NonZero(), "NonZero", traits=_FOUND)
register(Listing(), "Unique", traits=_FOUND)
register(Listing(), "NonMaxSuppression", traits=replace(_FOUND, geometry=(2, 3, 4)))
_COUNTED = replace(STEADY, lengths_from=(0, 1, 2), geometry=(0, 1, 2), passes_geometry=True)
register(Listing(), "Range", traits=_COUNTED)
register(OneHot(), "OneHot", traits=replace(STEADY, lengths_from=(1,), geometry=(1,)))
