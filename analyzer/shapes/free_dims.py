"""Which lengths depend on the free dims of the inputs: found by running the model on inputs of another size.

What holds for the length that the probe happens to have need not hold for others, so no fact may vary along such axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.facts.units import SampleAxis, Shape, ShapeTable
from analyzer.graph import Graph
from analyzer.graph.view import TensorType
from analyzer.ops.operator import traits_of
from analyzer.probes.fitting import Feeds

LARGE = 1 << 18  # elements of an input from which a smaller one is tried, not a larger one
MOST_GROUPS = 6
LONGER = (4, 8, 16)  # times as long, where twice as long shows no difference
LARGEST = 1 << 22  # elements of an input that is made longer

Axes = frozenset[tuple[str, int]]


def free_axes(inputs: Mapping[str, TensorType], table: ShapeTable) -> list[Axes]:
    """Axes of inputs that are declared without a number, but for the sample axis; those of one name together."""
    by_name: dict[object, set[tuple[str, int]]] = {}
    for name, declared in inputs.items():
        samples = table.sample_axes[name].axis if table.batchable and name in table.sample_axes else None
        for axis, dim in enumerate(declared.shape or ()):
            if not isinstance(dim, int) and axis != samples:
                by_name.setdefault(dim if dim is not None else (name, axis), set()).add((name, axis))
    return [frozenset(axes) for axes in by_name.values()]


def with_free_dims(
    table: ShapeTable, groups: list[Axes], first: Feeds, run: Callable[[Feeds], dict[str, Shape]], graph: Graph
) -> ShapeTable:
    """The table with the axes whose lengths change, and the shapes of inputs of other sizes.

    All free dims are changed at once, and each on its own: a length may be the ratio of two. Where strides round both
    sizes to the same length, longer inputs are tried as well.
    """
    every = frozenset[tuple[str, int]]().union(*groups)
    trials = [every, *groups[:MOST_GROUPS]] if len(groups) > 1 else [every]
    tried = [shapes for axes in trials if (shapes := _attempt(first, axes, run)) is not None]
    resized = [*table.resized, *tried]
    for times in LONGER:
        hidden = _hidden_by_strides(graph, table, changed_axes(table, resized))
        small = all(a.size * times ** max(a.ndim - 2, 1) <= LARGEST for a in first.values())
        if not hidden or not small:
            break
        with suppress(RunError):
            resized.append(run(_resized(first, every, partial(_times_as_long, times=times))))
    dynamic = changed_axes(table, resized)
    for name, axes in _hidden_by_strides(graph, table, dynamic).items():
        dynamic[name] = dynamic.get(name, frozenset()) | axes
        _doubt_behind(graph, table, dynamic, name)
    return replace(table, dynamic=dynamic, resized=tuple(resized))


def changed_axes(table: ShapeTable, resized: Sequence[Mapping[str, Shape]]) -> dict[str, frozenset[int]]:
    """Per value, the axes whose lengths differ in some run from those in the table."""
    dynamic: dict[str, frozenset[int]] = {}
    for shapes in resized:
        for name, other in shapes.items():
            mine = table.shapes.get(name)
            if mine is not None and mine != other:
                same_rank = len(mine) == len(other)
                changed = {a for a, d in enumerate(mine) if not same_rank or other[a] != d}
                dynamic[name] = dynamic.get(name, frozenset()) | changed
    return dynamic


def _hidden_by_strides(
    graph: Graph, table: ShapeTable, dynamic: Mapping[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """Axes behind windows over a changing length that came out alike all the same, by value.

    Behind an operator of which nobody said whether it has windows, that may be any axis.
    """
    hidden = {}
    for node in graph.nodes:
        windows = traits_of(node, partial(graph.stored_input, node)).windows
        read = [name for name in (*node.inputs, *node.captured) if dynamic.get(name)]
        moving = {a for a in dynamic.get(node.inputs[0], ()) if windows is not None and a in windows} if read else set()
        for name in [o for o in node.outputs if o in table.shapes] if read else []:
            samples = {table.sample_axes.get(name, SampleAxis(None)).axis}
            axes = moving if windows is not None else set(range(len(table.shapes[name]))) - samples
            if still := axes - dynamic.get(name, frozenset()):
                hidden[name] = frozenset(still)
    return hidden


def _doubt_behind(graph: Graph, table: ShapeTable, dynamic: dict[str, frozenset[int]], name: str) -> None:
    """Take every axis of length 1 in what follows a value for one whose length may change."""
    pending, seen = [name], {name}
    while pending:
        for reader, _ in graph.consumers.get(pending.pop(), ()):
            for output in reader.outputs:
                if output and output not in seen:
                    seen.add(output)
                    pending.append(output)
                    ones = {a for a, d in enumerate(table.shapes.get(output, ())) if d == 1}
                    samples = table.sample_axes.get(output, SampleAxis(None)).axis
                    dynamic[output] = dynamic.get(output, frozenset()) | (ones - {samples})


def _attempt(first: Feeds, axes: Axes, run: Callable[[Feeds], dict[str, Shape]]) -> dict[str, Shape] | None:
    """Shapes with these axes twice (or half) as long, else one longer; None when the model runs on neither."""
    for change in (_other_size, _one_more):
        with suppress(RunError):
            return run(_resized(first, axes, change))
    return None


def _resized(first: Feeds, axes: Axes, change: Callable[[Array, int], Array]) -> Feeds:
    feeds = dict(first)
    for name, axis in axes:
        if name in feeds and axis < feeds[name].ndim:
            feeds[name] = change(feeds[name], axis)
    return feeds


def _other_size(array: Array, axis: int) -> Array:
    length = array.shape[axis]
    if array.size > LARGE and length % 2 == 0:
        return array.take(range(length // 2), axis)
    return _times_as_long(array, axis)


def _times_as_long(array: Array, axis: int, times: int = 2) -> Array:
    return np.concatenate([array] * times, axis)


def _one_more(array: Array, axis: int) -> Array:
    return np.concatenate([array, array.take([-1], axis)], axis)
