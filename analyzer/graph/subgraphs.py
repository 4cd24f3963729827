"""Subgraphs beside the graph around them: one space of names, stored tensors in one place, all nodes in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir

from analyzer.graph.names import Names

COPY = "Identity"  # the operator that gives a value another name
SUBGRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)

#: Where a node stands: (the enclosing node's first named output, which of its bodies), outermost first.
Place = tuple[tuple[str, int], ...]


class Role(Enum):
    """What a place in the order of all nodes stands for, where it is no plain node."""

    PLAIN = 0
    BRANCHES = 1  # of its bodies one is computed, which reads nothing but values around it: an If, behind its bodies
    ENTRY = 2  # what goes into the bodies of a node, before them: no node of the file
    EXIT = 3  # the node itself, behind its bodies: Loop, Scan and whatever else has some


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One node, or the entry of its bodies, in the order of all nodes."""

    node: ir.Node
    role: Role
    place: Place
    sealed: bool  # within a node of a foreign domain, of which nobody knows what it does with its bodies

    @property
    def stacks(self) -> bool:
        """Whether further outputs of its only body come out of the node stacked, one entry per step: Loop and Scan."""
        if self.role is not Role.EXIT or self.node.domain or len(self.bodies) != 1:
            return False
        loops = len(self.bodies[0].outputs) == len(self.node.outputs) + 1  # the condition stays inside
        return loops or "num_scan_inputs" in self.node.attributes

    @property
    def bodies(self) -> list[ir.Graph]:
        """The node's subgraphs."""
        return bodies_of(self.node)


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """The subgraphs of a node; of an If the branch for a true condition first."""
    bodies: list[ir.Graph] = []
    if not node.attributes:
        return bodies
    for name in sorted(node.attributes, reverse=True):  # then_branch, else_branch
        attribute = node.attributes[name]
        if attribute.type == ir.AttributeType.GRAPH:
            bodies.append(attribute.value)
        elif attribute.type == ir.AttributeType.GRAPHS:
            bodies.extend(attribute.value)
    return bodies


def placed_nodes(graph: ir.Graph, place: Place = (), sealed: bool = False) -> Iterator[Placed]:
    """All nodes at any depth, each behind what it reads; a node with subgraphs stands behind the nodes in these."""
    for node in graph:
        bodies = bodies_of(node)
        if not bodies:
            yield Placed(node, Role.PLAIN, place, sealed)
            continue
        known = node.domain == ""
        counts = [len(node.outputs)] * len(bodies)
        choice = known and not any(b.inputs for b in bodies) and [len(b.outputs) for b in bodies] == counts
        key = key_of((value.name for value in node.outputs), node.name)
        if not choice:
            yield Placed(node, Role.ENTRY, (*place, (key, 0)), sealed or not known)
        for number, body in enumerate(bodies):
            yield from placed_nodes(body, (*place, (key, number)), sealed or not known)
        yield Placed(node, Role.BRANCHES if choice else Role.EXIT, place, sealed)


def key_of(outputs: Iterable[str | None], name: str | None) -> str:
    """What a node with subgraphs is called by: its first named output."""
    return next(filter(None, outputs), str(name))


def unite_subgraphs(model: ir.Model) -> None:
    """Give every value and node at any depth a name of its own, and keep all stored tensors in the main graph.

    What a subgraph gives out is made by a node of its own, or is one of its inputs. Names of the main graph stay.
    """
    main = model.graph
    inner = [graph for graph in main.subgraphs() if graph is not main]
    if not inner:
        return
    names = {str(v.name) for v in (*main.inputs, *main.initializers.values())}
    names |= {str(name) for node in main for name in (node.name, *(o.name for o in node.outputs)) if name}

    fresh = Names(names).fresh
    for graph in inner:
        if all(value.name in graph.initializers for value in graph.inputs):  # as old files list them: nobody feeds them
            graph.inputs.clear()
        for stored in [*graph.initializers]:
            value = graph.initializers.pop(stored)
            value.name = fresh(stored)
            (graph if value in graph.inputs else main).register_initializer(value)
        for value in graph.inputs:
            if value.name not in graph.initializers:
                value.name = fresh(str(value.name or "input"))
        for node in graph:
            node.name = fresh(node.name or node.op_type)
            for value in node.outputs:
                if value.name:
                    value.name = fresh(value.name)
    for graph in inner:
        _give_out_own(graph, fresh)


def _give_out_own(graph: ir.Graph, fresh: Callable[[str], str]) -> None:
    """Let each output of a subgraph be made by a node in it, each by another one, or be an input of it."""
    given: set[int] = set()
    for place, value in enumerate(graph.outputs):
        producer = value.producer()
        own = value in graph.inputs or (producer is not None and producer.graph is graph)
        if own and id(value) not in given:
            given.add(id(value))
            continue
        name = fresh(f"{value.name}/given")
        node = ir.Node("", COPY, [value], num_outputs=1, name=name)
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, value.type, value.shape
        graph.append(node)
        graph.outputs[place] = node.outputs[0]
        given.add(id(node.outputs[0]))
