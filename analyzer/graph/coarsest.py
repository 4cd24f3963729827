"""The coarsest element type on the way to a value: with its rounding two calculations of the value may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analyzer.facts.tolerances import REORDERED
from analyzer.graph.view import Graph, Node


def coarsest_types(
    graph: Graph, dtypes: Mapping[str, str], begins: Callable[[Node], bool] = lambda _: True
) -> dict[str, str]:
    """For each value computed by a node that `begins`, or from such a value, the coarsest float type on the way there.

    `dtypes` are NumPy names of the values' element types. What is computed before counts for nothing: it is the same in
    both calculations. Where no float is on the way, the type is empty.
    """
    coarsest: dict[str, str] = {}
    for node in graph.nodes:
        before = [coarsest[name] for name in (*node.inputs, *node.captured) if name in coarsest]
        if before or begins(node):
            for name in filter(None, node.outputs):
                own = dtypes.get(name, "")
                coarsest[name] = max((own if own in REORDERED else "", *before), key=lambda t: REORDERED.get(t, 0.0))
    return coarsest
