"""A rectifier in front of a maximum pool shows its maximum behind it, where there is less to read."""

from __future__ import annotations

from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph
from analyzer.observe.windows import sees_every_position
from analyzer.ops.operator import traits_of
from analyzer.shapes.free_dims import free_axes


def pooled_maximum(graph: Graph, shapes: ShapeTable, audited: AuditedValue) -> str | None:
    """Name of the pooled value that has the same maximum per sample and channel; None where there is none.

    Every position has to lie in some window; one run shows that, so it holds where `lengths_are_fixed`.
    Where the lower bound of the activation is known, a window is never without a finite value.
    """
    if audited.kind is not Kind.RECTIFIER or audited.low is None or audited.axis != 1:
        return None
    for node, _ in graph.consumers.get(audited.value, ()):
        alike = shapes.dtypes.get(audited.value) == shapes.dtypes.get(node.outputs[0])
        if traits_of(node).keeps_maximum and alike and sees_every_position(node, shapes):
            return node.outputs[0]
    return None


def lengths_are_fixed(graph: Graph, shapes: ShapeTable) -> bool:
    """Whether every feed gives every value the same lengths, but for the number of samples."""
    stated = all(declared.shape is not None for declared in graph.inputs.values())
    return stated and not free_axes(graph.inputs, shapes) and not lengths_follow_values(graph)


def lengths_follow_values(graph: Graph) -> bool:
    """Whether what a run is fed, not only its shape, may decide how long some value is."""
    computed = {*graph.inputs, *graph.defaults}
    for node in graph.nodes:
        traits = traits_of(node)
        given = [i for i, name in enumerate(node.inputs) if name in computed]
        if any(i in traits.lengths_from for i in given) or not computed.isdisjoint(node.captured):
            return True
        if traits.draws or (given and not traits.measures):
            computed.update(node.outputs)
    return False
