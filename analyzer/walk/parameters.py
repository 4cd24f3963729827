"""Which stored tensors are parameters, and how many numbers each holds: what their readers do with them decides."""

from __future__ import annotations

from math import prod

from analyzer.graph import Graph
from analyzer.ops.operator import traits_of


def parameter_names(graph: Graph) -> list[str]:
    """Stored tensors that some reader takes as contents: weights of any element type, but no shapes, axes and indices.

    A single number is none, nor are flags.
    """
    names = graph.initializer_names
    numeric = (n for n in names if graph.initializer_dtype(n).kind in "fViu" and graph.initializer_shape(n))
    return sorted(name for name in numeric if _is_content(graph, name))


def _is_content(graph: Graph, stored: str) -> bool:
    """Whether it, or whole numbers or flags made of it, are more than lengths, places or masks to some reader."""
    whole = graph.initializer_dtype(stored).kind in "iu"
    pending, seen = [stored], {stored}
    while pending:
        name = pending.pop()
        if name in graph.outputs and name != stored:
            return True
        for node, position in graph.consumers.get(name, ()):
            traits = traits_of(node)
            if position < 0 or traits.measures or position in traits.geometry:  # below 0: inside a subgraph
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
    return 8 // int(packed[0].attr("bits", 4)) if bytewise else 1


def count_parameters(graph: Graph) -> int:
    """Numbers in all parameters."""
    return sum(prod(graph.initializer_shape(n)) * numbers_in(graph, n) for n in parameter_names(graph))
