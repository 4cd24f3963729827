"""Values that are finite for every feed within bounds: what enters and the weights leave no room for an overflow.

Only for these a NaN or an infinity need not be looked for in the run. From the inputs on, the largest magnitude that
each value can have is carried through the graph by what operators say of themselves; one that says nothing ends the
chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import LARGEST_VALUE
from analyzer.graph import Graph, Node
from analyzer.ops.operator import rule_for

LARGEST_INPUT = 1e6  # of a feed; more than pictures of 16 bits hold


def within(feeds: Mapping[str, Array]) -> bool:
    """Whether the inputs of a feed are as small as `magnitudes` takes them to be, and finite."""
    single = (a for a in feeds.values() if a.dtype == np.float32 and a.size)
    return all(bool(a.max() <= LARGEST_INPUT and a.min() >= -LARGEST_INPUT) for a in single)


def magnitudes(graph: Graph, wanted: Iterable[str]) -> dict[str, float]:
    """The largest magnitudes for feeds `within`, of the wanted values and those they are computed from.

    Values that may overflow, and values of which nothing is known, are left out.
    """
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
    largest = {n: LARGEST_INPUT for n, kind in graph.inputs.items() if kind.dtype == np.float32}
    for node in graph.nodes:
        if needed.isdisjoint(node.outputs) or not node.inputs:
            continue
        if (bound := of_outputs(graph, node, largest)) is not None:
            largest.update({name: bound for name in node.outputs if name})
    return largest


def of_outputs(graph: Graph, node: Node, largest: Mapping[str, float]) -> float | None:
    """The largest magnitude of what a node gives out, given those of values; None where it is not known, or endless."""
    if not any(name in largest for name in node.inputs):
        return None
    known = [largest.get(name) for name in node.inputs]
    bound = rule_for(node.domain, node.op_type).magnitude(node, known, partial(graph.stored_input, node))
    return bound if bound is not None and bound <= LARGEST_VALUE else None  # never true of NaN
