"""What a value of a graph is made of: the node that computes it, or what is stored."""

from __future__ import annotations

import onnx_ir as ir


def maker(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes a value, if it is one of these standard operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in op_types and not node.domain else None


def stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The stored tensor that a value is, if no caller can override it."""
    return None if value is None or not value.is_initializer() or value.is_graph_input() else value.const_value
