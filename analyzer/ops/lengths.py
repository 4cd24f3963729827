"""Lists of lengths: what a shape operand is made of, and which lengths of a value somebody looks at.

A model measures values, picks some of the lengths, joins them with numbers that the file spells out, and gives the list
to an operator that makes an output of that shape. An axis that is as long as the one that was measured follows it: both
may be cut together, and the list says how long they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from analyzer.algebra.keeps import Ref
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
        self._aiming = {node.index: place for node in graph.nodes if (place := traits_of(node).target) is not None}
        for node in graph.nodes:
            items = self._items(node) if node.inputs and node.outputs else None
            if items is not None and len(items) <= _LONGEST:
                self._lists[node.outputs[0]] = items
        self._used: dict[int, set[int]] = {}  # by the index of the node that measures
        for name in self._lists:
            for length in self._looked_at(name):
                self._used.setdefault(length.node.index, set()).add(length.axis)
        self.followers: dict[str, list[Node]] = {}  # by a value whose lengths they follow
        for node in graph.nodes:
            for name, _ in self.follows(node).values():
                self.followers.setdefault(name, []).append(node)

    def pieces(self, node: Node) -> tuple[int | None, ...] | None:
        """The pieces of a shape operand: numbers that the file spells out, None where computed at run time.

        A length that follows that of another axis adapts by itself, however that is cut.
        """
        items, follows = self._target(node), self.follows(node)
        if items is None:
            return None
        computed = [None if isinstance(item, Measured) else item for item in items]
        return tuple(ADAPTS if axis in follows else piece for axis, piece in enumerate(computed))

    def follows(self, node: Node) -> dict[int, Ref]:
        """The axes of an output of a computed shape that are as long as an axis of some value, and are cut with it."""
        items, made = self._target(node) or (), self._shapes.get(node.outputs[0], ()) if node.outputs else ()
        found = {}
        for axis, (item, length) in enumerate(zip(items, made, strict=False)):
            if isinstance(item, Measured):
                name = item.node.inputs[0]
                if self._shapes[name][item.axis] == length:
                    found[axis] = name, item.axis
        return found

    def _target(self, node: Node) -> tuple[int | Measured | None, ...] | None:
        """The list that is the target of a node."""
        place = self._aiming.get(node.index)
        if place is None or place >= len(node.inputs) or not node.inputs[place] or node.attr("axes"):
            return None
        array = self._graph.constant(node.inputs[place])
        return self._lists.get(node.inputs[place]) if array is None else tuple(int(v) for v in array.reshape(-1))

    def used_axes(self, node: Node) -> frozenset[int] | None:
        """The axes of a measured input whose length matters to more than the same axis elsewhere; None: all."""
        return frozenset(self._used.get(node.index, ())) if node.outputs[0] in self._lists else None

    def passed(self, node: Node) -> bool:
        """Whether a node's output lists the numbers that its first input lists, all in their order."""
        shape = self._shapes.get(node.inputs[0])
        numbers = tuple(range(shape[0] if shape else 1))
        return shape is not None and len(numbers) <= _LONGEST and self._moved(node, numbers) == numbers

    def _items(self, node: Node) -> tuple[int | Measured | None, ...] | None:
        traits = traits_of(node)
        if traits.lists_lengths:
            measured = self._shapes.get(node.inputs[0])
            return measured and tuple(Measured(node, axis) for axis in measured_axes(node, len(measured)))
        if traits.joins:
            return self._joined(node)
        if len(node.inputs) == 2 and (factor := self._only_factor(*node.inputs)) and node.qualified_type == "Mul":
            return (factor,)
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

    def _only_factor(self, *names: str) -> Measured | None:
        """Of two single lengths the one that their product is, as the other is 1."""
        lists = [self._lists.get(name, ()) for name in names]
        factors = [items[0] for items in lists if len(items) == 1]
        measured = [item for item in factors if isinstance(item, Measured)]
        longer = [item for item in measured if self._shapes[item.node.inputs[0]][item.axis] != 1]
        return longer[0] if len(measured) == 2 and len(longer) == 1 else None

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
            made = self._lists.get(reader.outputs[0]) if reader.outputs else None
            if made is not None and (position == 0 or traits.joins or set(items) <= set(made)):
                continue
            pieces = self.pieces(reader) if position == traits.target else None
            for place, item in enumerate(items):
                if isinstance(item, Measured) and (pieces is None or pieces[place] != ADAPTS):
                    yield item


def measured_axes(node: Node, rank: int) -> range:
    """The axes of its input, which has so many, from whose lengths alone a node that measures computes its output."""
    return range(rank)[int(node.attr("start", 0)) : node.attr("end", None)]


def _lengths_alone(items: tuple[int | Measured | None, ...]) -> tuple[Measured | None, ...]:
    return tuple(item if isinstance(item, Measured) else None for item in items)
