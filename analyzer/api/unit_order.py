"""The model that is cut: its units in an order in which more can go, where that holds and pays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.choice import Choice
from analyzer.facts.cut import AS_STORED, Reordered
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.rewrite.order_blocks import BlockOrder, block_orders, order_blocks
from analyzer.rewrite.pair_directions import Pairing, pair_directions, pairings
from analyzer.walk import Walk, walk


@dataclass(frozen=True, eq=False)
class Base:
    """A model that is to be cut: merges, pairings and bridges are in place."""

    loaded: LoadedModel
    shapes: ShapeTable
    reordered: Reordered = AS_STORED

    def walk(self, layers: Sequence[LayerVerdicts], choice: Choice, pinned: Collection[str] = ()) -> Walk:
        """The walk of this choice."""
        return replace(walk(self.loaded.graph, self.shapes, layers, choice, pinned), reordered=self.reordered)


def reordered(base: Base, walked: Walk, layers: Sequence[LayerVerdicts], choice: Choice) -> tuple[Base, Walk]:
    """The model with its units in an order in which more can go, and its walk."""
    return _with_blocks_in_order(*_paired(base, walked, layers, choice), layers, choice)


def _with_blocks_in_order(
    base: Base, walked: Walk, layers: Sequence[LayerVerdicts], choice: Choice
) -> tuple[Base, Walk]:
    """The model with blocks of stored numbers in another order, of those that get smaller so, and its walk."""
    orders = block_orders(walked)
    while orders:
        loaded, shapes, reordered = order_blocks(base.loaded, base.shapes, orders)
        ordered = Base(loaded, shapes, base.reordered.joined(reordered))
        walked_ordered = ordered.walk(layers, choice)
        pays = [o for o in orders if _kept(walked_ordered, o) < _kept(walked, o)]
        if len(pays) == len(orders):
            return ordered, walked_ordered
        orders = pays
    return base, walked


def _kept(walked: Walk, order: BlockOrder) -> int:
    """How many indices stay of what a product reads."""
    return int(walked.closure.keeps.get((order.value, order.axis)).sum())


def _paired(base: Base, walked: Walk, layers: Sequence[LayerVerdicts], choice: Choice) -> tuple[Base, Walk]:
    """The model with the directions of layers paired, of those that get smaller so, and its walk."""
    found = pairings(walked)
    while found:
        together = Base(*pair_directions(base.loaded, base.shapes, found))
        walked_together = together.walk(layers, choice)
        pays = [p for p in found if _stored_of(walked_together, p) < _stored_of(walked, p)]
        if len(pays) == len(found):
            return together, walked_together
        found = pays
    return base, walked


def _stored_of(walked: Walk, pairing: Pairing) -> int:
    """How many numbers a layer with directions keeps."""
    return sum(prod(walked.closure.keeps.shape(name)) for name in pairing.stored)
