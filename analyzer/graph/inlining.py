"""A model's own functions, put where they are called: what comes of that is counted before it is made."""

from __future__ import annotations

import onnx
import onnx.inliner

from analyzer.errors import ModelError
from analyzer.graph.nested import Nodes, within

MOST_NODES = 1 << 16  # after inlining: functions that call each other twice double with every level
MOST_BYTES = 1 << 29  # of those nodes, the tensors in them included

_Name = tuple[str, str, str]
_Size = tuple[int, int]  # nodes, bytes


def inlined(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model without functions.

    Raises:
        ModelError: more than `MOST_NODES` nodes or `MOST_BYTES` bytes would come of it, or functions call each other in
            a circle.
    """
    if not proto.functions:
        return proto
    functions = {(f.domain, f.name, f.overload): f for f in proto.functions}
    sizes: dict[_Name, _Size] = {}
    pending = list(functions)
    opened: set[_Name] = set()
    while pending:
        name = pending[-1]
        calls = (_name(node) for part in within(functions[name]) for node in part.node)
        missing = [call for call in calls if call in functions and call not in sizes]
        if name in sizes or not missing:
            sizes.setdefault(name, _size(functions[name], sizes))
            opened.discard(pending.pop())
        elif name in opened:
            raise ModelError(f"{where}: its function {name[1]} calls itself, directly or through others: export again.")
        else:
            opened.add(name)
            pending += missing
    count, length = _size(proto.graph, sizes)
    if count > MOST_NODES or length > MOST_BYTES:
        raise ModelError(
            f"{where} is {count:.3g} nodes ({length / (1 << 20):.3g} MiB) once its functions are put where they are "
            f"called, more than {MOST_NODES} nodes or {MOST_BYTES >> 20} MiB: export it without functions."
        )
    return onnx.inliner.inline_local_functions(proto)


def _size(graph: Nodes, functions: dict[_Name, _Size]) -> _Size:
    """Nodes and bytes of a graph and its subgraphs, each call as large as what it calls."""
    count = length = 0
    for node in (node for part in within(graph) for node in part.node):
        body = functions.get(_name(node), (1, 0))
        count, length = count + body[0], length + body[1] + node.ByteSize()
    return count, length


def _name(node: onnx.NodeProto) -> _Name:
    return node.domain, node.op_type, node.overload
