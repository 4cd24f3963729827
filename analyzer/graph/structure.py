"""How a model computes, without the numbers that it computes with, which may be many and far away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

if TYPE_CHECKING:
    from analyzer.graph.load import LoadedModel

SMALL = 1 << 16  # elements; a tensor of whole numbers that has no more says how the model computes


def structure(loaded: LoadedModel) -> Iterator[list[Any]]:
    """Inputs, outputs, nodes and stored tensors of every graph; of whole numbers, which may be lengths, all."""
    for graph in loaded.model.graphs():
        yield [[value.name for value in values] for values in (graph.inputs, graph.outputs)]
        for node in graph:
            names = [[value and value.name for value in values] for values in (node.inputs, node.outputs)]
            yield [node.domain, node.op_type, node.overload, *names, *map(_described, node.attributes.values())]
        for name, value in sorted(graph.initializers.items()):
            yield [name, *_stored(value.const_value)]


def _described(attribute: Any) -> list[str]:
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        return [attribute.name]  # its nodes are those of a graph of the model
    return [attribute.name, ir.serde.serialize_attribute(attribute).SerializeToString(deterministic=True).hex()]


def _stored(tensor: ir.TensorProtocol | None) -> list[str]:
    if tensor is None:
        return []
    described = [str(tensor.dtype), str(tuple(tensor.shape.numpy()))]
    if tensor.dtype.is_integer() and tensor.size <= SMALL:
        described.append(tensor.tobytes().hex())
    return described
