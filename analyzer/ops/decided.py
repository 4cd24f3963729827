"""Choices between branches that no input changes: stored tensors decide them, or lengths that are always the same."""

from __future__ import annotations

from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Graph, Node, Role
from analyzer.ops.lengths import Lengths, measured_axes
from analyzer.ops.operator import traits_of


def decided_branches(graph: Graph, table: ShapeTable, lists: Lengths) -> dict[str, int]:
    """Per decided choice, by its first output, the branch that is taken: 0 for true.

    Those that the table says are `settled` count as well. A length counts as always the same where other sizes of every
    free axis were tried and none changed it, no samples lie along its axis, and nothing comes before it whose results
    may have other lengths for other values: an operator, a choice or a loop.
    """
    if not any(node.key for node in graph.nodes):
        return {}
    decided, fixed = dict(graph.decided), set(graph.static_values)
    unclear = {name for name in (*graph.inputs, *graph.defaults) if not _all_sizes_tried(graph, table, name)}
    for node in graph.nodes:
        outputs = {name for name in node.outputs if name}
        traits = traits_of(node)
        read = [name for name in (*node.inputs, *node.captured) if name]
        if node.key in table.taken and (node.key in table.settled or node.inputs[0] in fixed) and not node.sealed:
            decided.setdefault(node.key, table.taken[node.key])
        if node.key in decided:
            start = 1 + decided[node.key] * len(node.outputs)
            read = [name for name in node.inputs[start : start + len(node.outputs)] if name]
        if traits.measures:
            fixed |= outputs if _fixed_lengths(node, table, lists, unclear) else set()
        elif node.role is Role.PLAIN and read and not traits.draws and fixed.issuperset(read):
            fixed |= outputs
        by_value = any(p in traits.lengths_from and name not in fixed for p, name in enumerate(node.inputs) if name)
        if node.key in decided:
            unclear |= outputs if unclear.intersection(read) else set()
        elif unclear.intersection(read) or node.role is not Role.PLAIN or by_value:
            unclear |= outputs
    return decided


def _all_sizes_tried(graph: Graph, table: ShapeTable, name: str) -> bool:
    """Whether runs took other sizes of every axis of an input that the file leaves free, but for the samples'."""
    declared, samples = graph.types[name].shape, table.sample_axes.get(name, SampleAxis(None)).axis
    free = None if declared is None else {a for a, dim in enumerate(declared) if not isinstance(dim, int)}
    return free is not None and free - {samples} <= table.dynamic.get(name, frozenset())


def _fixed_lengths(node: Node, table: ShapeTable, lists: Lengths, unclear: set[str]) -> bool:
    name = node.inputs[0]
    shape = table.shapes.get(name)
    if shape is None or not table.measured or name in unclear or name in table.scrambled:
        return False
    used = lists.used_axes(node) if traits_of(node).lists_lengths else None
    looked_at = set(measured_axes(node, len(shape)) if used is None else used)
    samples = table.sample_axes.get(name, SampleAxis(None)).axis
    return looked_at.isdisjoint({*table.dynamic.get(name, ()), samples})
