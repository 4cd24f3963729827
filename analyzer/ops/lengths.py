"""Lists of lengths: what a shape operand is made of, and which lengths of a value somebody looks at.

A model measures values, picks some of the lengths, joins them with numbers that the file spells out, and gives the list
to an operator that makes an output of that shape. Where the length of an axis only says how long the same axis is
behind that operator, both may be cut: the list follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple, TypeVar

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Shape
from analyzer.graph import Graph, Node
from analyzer.ops.operator import rule_for, traits_of

ADAPTS = -1  # what a target says of a length that follows from the others
_LONGEST = 64  # no value has more axes
T = TypeVar("T")


class Measured(NamedTuple):
    """The length of an axis of the value that a node measures."""

    node: Node
    axis: int


class Lengths:
    """All lists of lengths of a graph, given the shapes of its values."""

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        """Follows every list from where it is measured to where it is read."""
        self._graph, self._shapes = graph, shapes
        self._lists: dict[str, tuple[int | Measured | None, ...]] = {}  # None: computed otherwise
        for node in graph.nodes:
            items = self._items(node) if node.inputs and node.outputs else None
            if items is not None and len(items) <= _LONGEST:
                self._lists[node.outputs[0]] = items
        self._used: dict[int, set[int]] = {}  # by the index of the node that measures
        for name in self._lists:
            for length in self._looked_at(name):
                self._used.setdefault(length.node.index, set()).add(length.axis)

    def pieces(self, node: Node) -> tuple[int | None, ...] | None:
        """The pieces of a shape operand: numbers that the file spells out, None where computed at run time.

        The length of an axis of the first input that becomes this very axis adapts by itself, however it is cut.
        """
        place = traits_of(node).target
        if place is None or place >= len(node.inputs) or not node.inputs[place] or node.attr("axes"):
            return None
        array = self._graph.constant(node.inputs[place])
        if array is not None:
            return tuple(int(v) for v in array.reshape(-1))
        items = self._lists.get(node.inputs[place])
        source, target = self._shapes.get(node.inputs[0]), self._shapes.get(node.outputs[0])
        if items is None:
            return None
        alone: set[tuple[int, ...]] = set()
        if source and target and traits_of(node).regroups and prod(source) == prod(target) != 0:
            alone = {(*left, *right) for left, right in joined_axes(source, target) if len(left) == len(right) == 1}

        def piece(item: int | Measured | None, axis: int) -> int | None:
            if not isinstance(item, Measured):
                return item
            return ADAPTS if item.node.inputs[0] == node.inputs[0] and (item.axis, axis) in alone else None

        return tuple(piece(item, axis) for axis, item in enumerate(items))

    def used_axes(self, node: Node) -> frozenset[int] | None:
        """The axes of a measured input whose length matters to more than the same axis elsewhere; None: all."""
        return frozenset(self._used.get(node.index, ())) if node.outputs[0] in self._lists else None

    def passed(self, node: Node) -> bool:
        """Whether a node's output lists the numbers that its only input lists."""
        return len(node.inputs) == 1 and self._moved(node, ("",)) == ("",)

    def _items(self, node: Node) -> tuple[int | Measured | None, ...] | None:
        traits = traits_of(node)
        if traits.lists_lengths:
            measured = self._shapes.get(node.inputs[0])
            return measured and tuple(Measured(node, axis) for axis in measured_axes(node, len(measured)))
        if traits.joins:
            return self._joined(node)
        items = self._lists.get(node.inputs[0])
        moved = None if items is None else self._moved(node, items)
        return moved if moved is None or self.passed(node) else _lengths_alone(moved)

    def _joined(self, node: Node) -> tuple[int | Measured | None, ...] | None:
        """The parts one after another; numbers can be spelled anew where they are a part of their own."""
        items: list[int | Measured | None] = []
        for name in node.inputs:
            stored = self._graph.constant(name)
            shape = self._shapes.get(name) if stored is None else stored.shape
            if shape is None or len(shape) != 1 or shape[0] > _LONGEST:
                return None
            if stored is None:
                items += _lengths_alone(self._lists.get(name, (None,) * shape[0]))
            elif stored.dtype.kind in "iu":
                items += [int(v) for v in stored]
            else:
                return None
        return tuple(items)

    def _moved(self, node: Node, items: tuple[T, ...]) -> tuple[T, ...] | None:
        """What a node that only moves a list makes of it; None for any other node, or for a table of lists."""
        arrays = [self._graph.constant(n) for n in node.inputs[1:]]
        numbers = [np.atleast_1d(a).reshape(-1) for a in arrays if a is not None]
        if len(numbers) < len(arrays) or len(self._shapes.get(node.outputs[0], (0, 0))) > 1:
            return None
        return rule_for(node.domain, node.op_type).listed(node, items, numbers)

    def _looked_at(self, name: str) -> Iterator[Measured]:
        """Lengths in a list that leave the model, or that some reader does more with than to make the same axis."""
        items = self._lists[name]
        if name in self._graph.outputs:
            yield from (item for item in items if isinstance(item, Measured))
        for reader, position in self._graph.consumers.get(name, ()):
            traits = traits_of(reader)
            if reader.outputs and reader.outputs[0] in self._lists and (position == 0 or traits.joins):
                continue
            pieces = self.pieces(reader) if position == traits.target else None
            for place, item in enumerate(items):
                if isinstance(item, Measured) and (pieces is None or pieces[place] != ADAPTS):
                    yield item


def measured_axes(node: Node, rank: int) -> range:
    """The axes of its input, which has so many, from whose lengths alone a node that measures computes its output."""
    return range(rank)[int(node.attr("start", 0)) : node.attr("end", None)]


def joined_axes(source: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Which axes become which; axes of length 1 left out."""
    return [(left, right) for left, right in pattern.reshape_groups(source, target) if left and right]


def _lengths_alone(items: tuple[int | Measured | None, ...]) -> tuple[Measured | None, ...]:
    return tuple(item if isinstance(item, Measured) else None for item in items)
