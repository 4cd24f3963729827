"""From the graph of a model to the picture of it: small models whole, large ones as layers and joins."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.facts.picture import GraphPicture, PictureNode, Role
from analyzer.graph import Graph, Node
from analyzer.ops.operator import traits_of

MOST_OPERATORS = 24  # up to here every operator gets a box of its own


def picture_of(graph: Graph, audited: Iterable[str]) -> GraphPicture:
    """The data flow between inputs, audited values, joins and outputs.

    An operator that reads a single box and is not audited is folded into the layer that follows it.
    """
    return _Painter(graph, frozenset(audited)).painted()


class _Painter:
    """The picture while it grows; `_box` says for each value in which box it ends up (stored values: none)."""

    def __init__(self, graph: Graph, audited: frozenset[str]) -> None:
        self._graph = graph
        self._audited = audited
        self._nodes: list[PictureNode] = []
        self._edges: dict[tuple[int, int], None] = {}
        self._box: dict[str, int] = {}
        self._chain: dict[str, tuple[str, ...]] = {}  # value -> operators folded on the way to it
        moving = [node for node in graph.nodes if not traits_of(node).measures]
        self._whole = len([n for n in moving if n.outputs[0] not in graph.static_values]) <= MOST_OPERATORS

    def painted(self) -> GraphPicture:
        for name in self._graph.inputs:
            self._add([name], PictureNode(name, Role.INPUT), ())
        for node in self._graph.nodes:
            self._visit(node)
        for name in self._graph.outputs:
            if name in self._box:
                self._add([], PictureNode(name, Role.OUTPUT), (self._box[name],))
        used = {end for edge in self._edges for end in edge}
        keep = [i for i, node in enumerate(self._nodes) if i in used or node.role is Role.LAYER]
        place = {old: new for new, old in enumerate(keep)}
        edges = tuple((place[a], place[b]) for a, b in self._edges)
        return GraphPicture(tuple(self._nodes[i] for i in keep), edges, self._whole)

    def _visit(self, node: Node) -> None:
        value = next((o for o in node.outputs if o in self._audited), "")
        if not value and traits_of(node).measures:  # what is computed from lengths is not data
            return
        read = [i for i in (*node.inputs, *node.captured) if i in self._box]
        sources = tuple(dict.fromkeys(self._box[i] for i in read))
        if not value and not sources:
            return
        chain = (*(self._chain.get(read[0], ()) if read else ()), node.op_type)
        if value or len(sources) > 1 or self._whole:
            role = Role.LAYER if value else Role.JOIN if len(sources) > 1 else Role.OTHER
            ops = chain if role is Role.LAYER else (node.op_type,)
            self._add(node.outputs, PictureNode(node.name, role, ops, value), sources)
        else:
            for output in node.outputs:
                self._box[output], self._chain[output] = sources[0], chain

    def _add(self, values: Iterable[str], box: PictureNode, sources: tuple[int, ...]) -> None:
        index = len(self._nodes)
        self._nodes.append(box)
        self._box.update((value, index) for value in values if value)
        self._edges.update(dict.fromkeys((source, index) for source in sources))
