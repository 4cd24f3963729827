"""All graphs of a model: the main one, functions, and the subgraphs in attributes of nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import onnx

Nodes: TypeAlias = "onnx.GraphProto | onnx.FunctionProto"


def all_graphs(proto: onnx.ModelProto) -> Iterator[Nodes]:
    """The main graph and the functions, then the subgraphs of their nodes, at any depth."""
    return within(proto.graph, *proto.functions)


def within(*graphs: Nodes) -> Iterator[Nodes]:
    """These, then the subgraphs of their nodes, at any depth."""
    pending = deque(graphs)
    while pending:
        graph = pending.popleft()
        yield graph
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            pending.extend(subgraphs(attribute))


def subgraphs(attribute: onnx.AttributeProto) -> Sequence[onnx.GraphProto]:
    """The graphs that an attribute holds, as its type says."""
    if attribute.type == onnx.AttributeProto.GRAPH:
        return (attribute.g,)
    return attribute.graphs if attribute.type == onnx.AttributeProto.GRAPHS else ()
