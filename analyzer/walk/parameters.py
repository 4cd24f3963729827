"""Which stored tensors are parameters, and how many numbers each holds: what their readers do with them decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from analyzer.graph import Graph, Node
from analyzer.graph.view import once_per_graph
from analyzer.ops.operator import traits_of


@once_per_graph
def parameter_names(graph: Graph) -> Sequence[str]:
    """Stored tensors that some reader takes as contents: weights of any element type, but no shapes, axes and indices.

    A single number is none, nor are flags, nor is what is computed from lengths.
    """
    names = graph.initializer_names - graph.measured
    numeric = (n for n in names if graph.initializer_dtype(n).kind in "fViu" and graph.initializer_shape(n))
    return sorted(name for name in numeric if _is_content(graph, name, graph.initializer_dtype(name).kind in "iu"))


def _is_content(graph: Graph, stored: str, whole: bool) -> bool:
    """Whether it, or whole numbers or flags made of it, are more than lengths, places or masks to some reader."""
    pending, seen = [stored], {stored}
    while pending:
        name = pending.pop()
        if name in graph.outputs and name != stored:
            return True
        for node, position in graph.consumers.get(name, ()):
            traits = traits_of(node)
            if traits.measures or position in traits.geometry:
                continue
            if not (whole and traits.passes_geometry):
                return True
            pending += [output for output in node.outputs if output and output not in seen]
            seen.update(node.outputs)
    return False


def numbers_in(graph: Graph, name: str) -> int:
    """How many numbers each element of a stored tensor holds: several where a byte packs them."""
    packed = [n for n, position in graph.consumers.get(name, ()) if position in traits_of(n).packed]
    bytewise = packed and graph.initializer_dtype(name).name == "uint8"
    bits = [packed[0].attr(name) for name in ("bits", "expert_weight_bits")] if bytewise else [8]
    return 8 // int(next(filter(None, bits), 4))


@once_per_graph
def parameters_of(graph: Graph) -> Mapping[str, int]:
    """Numbers in each parameter."""
    return {n: _numbers_of(graph, n) for n in parameter_names(graph)}


def _numbers_of(graph: Graph, stored: str) -> int:
    for node, position in graph.consumers.get(stored, ()):
        filled_up = traits_of(node).filled_up
        if filled_up is not None and filled_up[0] == position:
            return prod(int(node.attr(name)) for name in filled_up[1])
    return prod(graph.initializer_shape(stored)) * numbers_in(graph, stored)


def readers_of(graph: Graph, stored: str) -> list[Node]:
    """The nodes that take a stored tensor as contents when the model runs, itself or what is made of it before."""
    pending, readers = [stored], dict[int, Node]()
    for name in pending:
        for node, position in graph.consumers.get(name, ()):
            if position >= 0 and (traits_of(node).measures or position in traits_of(node).geometry):
                continue
            made = [o for o in node.outputs if o in graph.static_values]
            pending += (output for output in made if output not in pending)
            if not made:
                readers[node.index] = node
    return [*readers.values()]


@once_per_graph
def count_parameters(graph: Graph) -> int:
    """Numbers in all parameters, those of subgraphs included."""
    return sum(parameters_of(graph).values())
