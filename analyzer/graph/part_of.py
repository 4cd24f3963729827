"""A copy of the part of a model that computes some values: of a deep graph that is much less to copy than all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from analyzer.graph.load import LoadedModel
from analyzer.graph.subgraphs import bodies_of


def part_of(loaded: LoadedModel, values: Iterable[str]) -> LoadedModel:
    """A copy to edit by names of values, which has all inputs and computes these values and what they are made of.

    What was assumed of the model, and what shows how often its loops run, is computed as well. Nothing is given out.

    Raises:
        ModelError: the graph is not valid: something reads a value that nothing computes.
    """
    graph = loaded.model.graph
    producers = {o.name: node for node in graph for o in node.outputs if o.name}
    pending, needed, read = [*values, *loaded.assumed, *loaded.steps], set[ir.Node](), set[str]()
    while pending:
        name = pending.pop()
        if name not in read:
            read.add(name)
            node = producers.get(name)
            if node is not None and node not in needed:
                needed.add(node)
                pending += _read_by(node)
    inputs = {value.name for value in graph.inputs}
    stored = [value for name, value in graph.initializers.items() if name in read or name in inputs]
    nodes = [node for node in graph if node in needed]
    view = ir.GraphView(
        graph.inputs, (), nodes=nodes, initializers=stored, opset_imports=graph.opset_imports, name=graph.name
    )
    return loaded.copy(view)


def _read_by(node: ir.Node) -> Iterator[str]:
    """Names of all that a node reads, within its subgraphs as well."""
    yield from (value.name for value in node.inputs if value is not None and value.name)
    for body in bodies_of(node):
        yield from (value.name for value in body.outputs if value.name)
        for inner in body:
            yield from _read_by(inner)
