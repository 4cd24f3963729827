"""The tie graph: which index of which value is cut together with which, explored as far as somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from analyzer.algebra.keeps import Ref
from analyzer.ops.context import Call, Context

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Slot:
    """One index of one axis of a value."""

    value: str
    axis: int
    index: int

    def __str__(self) -> str:
        return f"{self.value}[{self.index}]" if self.axis == 1 else f"{self.value}[axis {self.axis}: {self.index}]"


class TieGraph:
    """Slots as nodes; an edge, named after a node of the model, leads to what is cut together with a slot."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._explored: set[Slot] = set()

    @cached_property
    def _slots(self) -> nx.DiGraph[Slot]:
        import networkx as nx

        return nx.DiGraph()

    @cached_property
    def _whole(self) -> frozenset[Ref]:
        """Axes that stay whole because some operator along them needs that."""
        import networkx as nx

        axes: nx.Graph[Ref] = nx.Graph()
        held: set[Ref] = set()
        for call in self.context.calls:
            axes.add_edges_from(call.axes.same())
            held.update(call.whole)
            held.update((n, a) for n in call.axes.pinned for a in range(self.context.rank(n)))
        parts = nx.connected_components(axes)
        return frozenset(held.union(*(part for part in parts if not held.isdisjoint(part))))

    def tied(self, call: Call, slot: Slot) -> list[Slot]:
        """The slots of the call's other values that are cut together with this one."""
        return [
            Slot(name, axis, int(index))
            for (name, axis), indices, part in call.axes.tied((slot.value, slot.axis), slot.index)
            if not (part and (name, axis) in self._whole)
            for index in indices
        ]

    def beside(self, slot: Slot) -> list[Slot]:
        """All slots that are cut together with one, over whichever node reads or makes its value."""
        if slot not in self._explored:
            self._explored.add(slot)
            self._slots.add_node(slot)
            for node in self.context.around(slot.value):
                call = self.context.by_node[node.index]
                self._slots.add_edges_from(((slot, other) for other in self.tied(call, slot)), node=call.op.name)
        return [*self._slots.successors(slot)]

    def nearest(self, start: Slot) -> Iterator[Slot]:
        """The slot, then all that are cut together with it, nearest first."""
        queue, seen = deque([start]), {start}
        while queue:
            slot = queue.popleft()
            yield slot
            fresh = [other for other in self.beside(slot) if other not in seen]
            seen.update(fresh)
            queue.extend(fresh)

    def path(self, start: Slot, end: Slot) -> tuple[Slot, ...]:
        """The shortest way between two slots, once `nearest` has met the second."""
        import networkx as nx

        return tuple(nx.shortest_path(self._slots, start, end))

    def over(self, a: Slot, b: Slot) -> str:
        """The node of the model that ties two neighbours."""
        return str(self._slots.edges[a, b]["node"])

    def downstream(self, start: Slot, passes: Callable[[Slot, Call], bool]) -> Iterator[tuple[Slot, tuple[Slot, ...]]]:
        """The slots behind one, over calls that `passes` lets through, each with the way there."""
        queue: deque[tuple[Slot, tuple[Slot, ...]]] = deque([(start, (start,))])
        seen = {start}
        while queue:
            slot, path = queue.popleft()
            yield slot, path
            for node, _ in self.context.readers(slot.value):
                call = self.context.by_node[node.index]
                for after in self.tied(call, slot) if passes(slot, call) else ():
                    if after.value in call.outputs and after not in seen:
                        seen.add(after)
                        queue.append((after, (*path, after)))
