"""Values of half precision that would be infinity on a device that computes in halves.

onnxruntime's kernels for CPUs compute most operators in single precision and leave out the casts between them, so a
number that no half can hold goes on as it is. A cast to single precision shows it; where a half was really made (most
movements have kernels for halves), it shows the infinity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.audit import HalfOverflow
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.ops.operator import rule_for, traits_of

LARGEST_HALF = 65504.0
ROUNDS_TO_INFINITY = 65520.0  # half a step above it


def half_values(graph: Graph, shapes: ShapeTable, shown: Collection[str]) -> list[str]:
    """Values of half precision that are to be looked at as a whole, in the order of the graph.

    `shown` are rectified values of which every maximum is seen anyway. What they rectify is not looked at: they show
    its largest entry, and take minus infinity for what it is. Nor is what an operator does not make larger.
    """
    left_out = {*graph.static_values, *graph.inside, *shown}
    return [
        name
        for node in graph.nodes
        if _enlarges(graph, node)
        for name in node.outputs
        if shapes.dtypes.get(name) == "float16" and name not in left_out
        if 0 not in shapes.shapes.get(name, (0,)) and not _only_rectified(graph, name, shown)
    ]


def rectified_halves(audited: Sequence[AuditedValue]) -> list[str]:
    """Audited values of half precision that have a floor and no ceiling."""
    rectified = (a for a in audited if a.kind is Kind.RECTIFIER and a.low is not None and a.high is None)
    return [a.value for a in rectified if a.dtype == "float16"]


def half_overflows(
    graph: Graph, names: Sequence[str], peaks: Array | None, shown: Mapping[str, UnitStatistics]
) -> list[HalfOverflow]:
    """The values that passed what a half holds, in the order of the graph.

    `peaks` [names, 2]: the largest entry of each, and that of its negative; `shown` are statistics of rectified values.
    """
    extremes = {name: float(np.max(seen.maximum, initial=0.0)) for name, seen in shown.items()}
    for name, (above, below) in zip(names, [] if peaks is None else peaks.tolist(), strict=peaks is not None):
        extremes[name] = -below if below > above and not _takes_minus_infinity(graph, name) else above
    passed = (name for name, extreme in extremes.items() if abs(extreme) >= ROUNDS_TO_INFINITY)
    ordered = sorted(passed, key=lambda name: graph.producer[name].index)
    return [HalfOverflow(name, graph.producer[name].name, extremes[name]) for name in ordered]


def _enlarges(graph: Graph, node: Node) -> bool:
    """Whether halves may become larger than any; where numbers are stored, that is not asked."""
    if traits_of(node).keeps_elements:
        return False
    stored = [graph.constant(name) for name in node.inputs if name in graph.static_values]
    if any(array is None or array.size > 1 for array in stored):
        return True
    largest = [None if name in graph.static_values else LARGEST_HALF for name in node.inputs]
    bound = rule_for(node.domain, node.op_type).magnitude(node, largest, lambda place: graph.stored_input(node, place))
    return bound is None or not bound <= LARGEST_HALF


def _only_rectified(graph: Graph, name: str, shown: Collection[str]) -> bool:
    readers = [node for node, _ in graph.consumers.get(name, ())]
    rectifies = all(n.outputs[0] in shown and rule_for(n.domain, n.op_type).same_unit for n in readers)
    return bool(readers) and rectifies and name not in graph.outputs


def _takes_minus_infinity(graph: Graph, name: str) -> bool:
    """Whether all that reads the value gives a finite number for minus infinity, as a softmax does of a mask."""
    readers = graph.consumers.get(name, ())
    traits = [(traits_of(node), position) for node, position in readers]
    finite = all(p in t.carries_nan and p not in t.carries_infinity for t, p in traits)
    return bool(readers) and finite and name not in graph.outputs
