"""The model that is cut: its units in an order in which more can go, where that holds and pays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.choice import Choice
from analyzer.facts.cut import AS_STORED, Reordered
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.rewrite.order_blocks import BlockOrder, block_orders, order_blocks
from analyzer.rewrite.pair_directions import Pairing, pair_directions, pairings
from analyzer.walk import Walk, walk

_Change = TypeVar("_Change")


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
    """The model with its units in an order in which more can go, and its walk.

    Directions of layers are paired, and blocks of stored numbers change places, of those that get smaller so.
    """

    def walk_of(base: Base) -> Walk:
        return base.walk(layers, choice)

    base, walked = _that_pay(base, walked, walk_of, pairings(walked), pair_directions, _stored_of)
    return _that_pay(base, walked, walk_of, block_orders(walked), order_blocks, _read_of)


def _that_pay(
    base: Base,
    walked: Walk,
    walk_of: Callable[[Base], Walk],
    changes: Sequence[_Change],
    made: Callable[[LoadedModel, ShapeTable, Sequence[_Change]], tuple[LoadedModel, ShapeTable, Reordered]],
    kept: Callable[[Walk, _Change], int],
) -> tuple[Base, Walk]:
    """The model with these changes, of those after which less is kept, and its walk."""
    while changes:
        loaded, shapes, order = made(base.loaded, base.shapes, changes)
        changed = Base(loaded, shapes, base.reordered.joined(order))
        walked_changed = walk_of(changed)
        pays = [change for change in changes if kept(walked_changed, change) < kept(walked, change)]
        if len(pays) == len(changes):
            return changed, walked_changed
        changes = pays
    return base, walked


def _stored_of(walked: Walk, pairing: Pairing) -> int:
    """How many numbers a layer with directions keeps."""
    return sum(prod(walked.closure.keeps.shape(name)) for name in pairing.stored)


def _read_of(walked: Walk, order: BlockOrder) -> int:
    """How many indices stay of what a product reads."""
    return int(walked.closure.keeps.get((order.value, order.axis)).sum())
