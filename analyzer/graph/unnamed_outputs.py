"""First outputs that a file leaves out get names, so that what a layer gives at every step can be looked at."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from analyzer.graph.names import Names
from analyzer.graph.nested import all_graphs

UNNAMED = "deadunits.unnamed"  # key of these names in a model's `meta`


def name_first_outputs(proto: onnx.ModelProto) -> frozenset[str]:
    """Name the first output of nodes that have others, where it is optional.

    Returns the names, which begin with that of such another.
    """
    graphs = [graph for graph in all_graphs(proto) if isinstance(graph, onnx.GraphProto)]
    nodes = [node for graph in graphs for node in graph.node]
    taken = {name for node in nodes for name in (*node.input, *node.output)}
    for graph in graphs:
        taken |= {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    names, given = Names(taken), set[str]()
    for node in nodes:
        other = next((name for name in node.output if name), "")
        if other and not node.output[0] and _may_be_left_out(node):
            node.output[0] = names.fresh(f"{other}/every_step")
            given.add(node.output[0])
    return frozenset(given)


def _may_be_left_out(node: onnx.NodeProto) -> bool:
    """Whether the first output is optional, which it is in recurrent layers; others have it computed in any case."""
    if not onnx.defs.has(node.op_type, node.domain):
        return False
    first = onnx.defs.get_schema(node.op_type, node.domain).outputs[0]
    return bool(first.option == onnx.defs.OpSchema.FormalParameterOption.Optional)


def leave_out(proto: onnx.ModelProto, names: Collection[str]) -> None:
    """The inverse."""
    for graph in all_graphs(proto) if names else ():
        for node in graph.node:
            if node.output and node.output[0] in names:
                node.output[0] = ""
        kept = [info for info in graph.value_info if info.name not in names]
        del graph.value_info[:]
        graph.value_info.extend(kept)
