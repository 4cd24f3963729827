"""Which lengths depend on the free dims of the inputs: found by running the model on inputs of another size.

What holds for the length that the probe happens to have need not hold for others, so no fact may vary along such axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.errors import RunError
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Graph, Role
from analyzer.graph.view import TensorType
from analyzer.ops.operator import traits_of
from analyzer.probes.fitting import Feeds

LARGE = 1 << 18  # elements of an input from which a smaller one is tried, not a larger one
MOST_GROUPS = 6  # free dims that are changed alone, and two at a time
LONGER = (4, 8, 16)  # times as long, where twice as long shows no difference
LARGEST = 1 << 22  # elements of an input that is made longer

Axes = frozenset[tuple[str, int]]
Run = Callable[[Feeds], dict[str, Shape]]
Change = Callable[[Array, int], int]  # the length that an axis gets


def free_axes(inputs: Mapping[str, TensorType], table: ShapeTable) -> list[Axes]:
    """Axes of inputs that are declared without a number, but for the sample axis; those of one name together."""
    by_name: dict[object, set[tuple[str, int]]] = {}
    for name, declared in inputs.items():
        samples = table.sample_axes[name].axis if table.batchable and name in table.sample_axes else None
        for axis, dim in enumerate(declared.shape or ()):
            if not isinstance(dim, int) and axis != samples:
                by_name.setdefault(dim if dim is not None else (name, axis), set()).add((name, axis))
    return [frozenset(axes) for axes in by_name.values()]


def with_free_dims(table: ShapeTable, groups: list[Axes], first: Feeds, run: Run, graph: Graph) -> ShapeTable:
    """The table with the axes whose lengths change, and the shapes of inputs of other sizes.

    All free dims are changed at once, and each on its own: a length may be the ratio of two. Where a length comes out
    alike for two sizes although it may depend on them, a short input is tried, which no stored bound limits, and longer
    ones, which strides do not round to the same length.
    """
    every = frozenset[tuple[str, int]]().union(*groups)
    tried, doubted = _tried(first, every, groups, run)
    resized = [*table.resized, *tried]
    short: list[dict[str, Shape]] = []
    if _hidden(graph, table, changed_axes(table, resized)) and (shapes := _attempt(first, every, run, SHORT)):
        short.append(shapes)  # not among the resized: axes of length 1 do not show which become which
    for times in LONGER:
        hidden = _hidden(graph, table, changed_axes(table, [*resized, *short]))
        small = all(a.size * times ** max(a.ndim - 2, 1) <= LARGEST for a in first.values())
        if not hidden or not small:
            break
        if shapes := _attempt(first, every, run, (partial(_times_as_long, times=times),)):
            resized.append(shapes)
    dynamic = joined_axes(table.dynamic, changed_axes(table, [*resized, *short]))
    if others := [*tried, *short]:  # of what lies in branches that other sizes do not take nothing is known
        shown = set[str]().union(*others)
        for name in graph.producer.keys() & table.shapes.keys() - shown:
            dynamic[name] = frozenset(range(len(table.shapes[name])))
    for name, axes in _hidden(graph, table, dynamic).items():
        dynamic[name] = dynamic.get(name, frozenset()) | axes
        _doubt_behind(graph, table, dynamic, name, {1, *(table.shapes[name][axis] for axis in axes)})
    for name, axis in doubted:
        dynamic[name] = dynamic.get(name, frozenset()) | {axis}
        _doubt_behind(graph, table, dynamic, name, {1, table.shapes[name][axis]})
    return replace(table, dynamic=dynamic, resized=tuple(resized))


def _tried(first: Feeds, every: Axes, groups: list[Axes], run: Run) -> tuple[list[dict[str, Shape]], Axes]:
    """Shapes of inputs of other sizes, and the axes of which too few were tried to tell.

    Dims for which the model took none of the other sizes, neither alone nor with one other, are fixed in fact.
    """
    shown = {every: _attempt(first, every, run, CHANGES)}
    together = shown[every] is not None
    shown |= {axes: _attempt(first, axes, run, CHANGES) for axes in groups[: MOST_GROUPS if together else None]}
    refused = [axes for axes in groups if not together and shown[axes] is None]
    for one, other in combinations(refused[:MOST_GROUPS], 2):
        shown[one | other] = _attempt(first, one | other, run, CHANGES)
    if not together:
        shown |= {axes: _attempt(first, axes, run, SHORT) for axes in (every, *groups) if shown[axes] is None}
    untried = frozenset[tuple[str, int]]().union(*refused[MOST_GROUPS:])
    return [shapes for shapes in shown.values() if shapes is not None], untried


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


def joined_axes(some: Mapping[str, frozenset[int]], others: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    """Per value the axes that either names."""
    return {name: some.get(name, frozenset()) | others.get(name, frozenset()) for name in some.keys() | others.keys()}


def _hidden(graph: Graph, table: ShapeTable, dynamic: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    """Axes behind windows over a changing length, or a limited slice of it, that came out alike all the same, by value.

    Behind an operator of which nobody said whether it rounds or limits lengths, that may be any axis.
    """
    hidden = {}
    for node in graph.nodes:
        if node.role is Role.ENTRY:  # a step sees what goes in as it is, or an entry of it
            continue
        traits = traits_of(node, partial(graph.stored_input, node))
        read = [name for name in (*node.inputs, *node.captured) if dynamic.get(name)]
        rank = len(table.shapes.get(node.inputs[0], ())) if read else 0
        moving = {a for a in dynamic.get(node.inputs[0], ()) if traits.limits(a, rank)} if read else set()
        for name in [o for o in node.outputs if o in table.shapes] if read else []:
            samples = {table.sample_axes.get(name, SampleAxis(None)).axis}
            axes = moving if traits.windows is not None else set(range(len(table.shapes[name]))) - samples
            if still := axes - dynamic.get(name, frozenset()):
                hidden[name] = frozenset(still)
    return hidden


def _doubt_behind(
    graph: Graph, table: ShapeTable, dynamic: dict[str, frozenset[int]], name: str, lengths: set[int]
) -> None:
    """Take every axis of one of these lengths in what follows a value for one whose length may change."""
    pending, seen = [name], {name}
    while pending:
        for reader, _ in graph.consumers.get(pending.pop(), ()):
            for output in reader.outputs:
                if output and output not in seen:
                    seen.add(output)
                    pending.append(output)
                    alike = {a for a, d in enumerate(table.shapes.get(output, ())) if d in lengths}
                    samples = table.sample_axes.get(output, SampleAxis(None)).axis
                    dynamic[output] = dynamic.get(output, frozenset()) | (alike - {samples})


def _attempt(first: Feeds, axes: Axes, run: Run, changes: Sequence[Change]) -> dict[str, Shape] | None:
    """Shapes with these axes of the first of these lengths that the model takes; None where it takes none."""
    for change in changes:
        feeds = _resized(first, axes, change)
        different = any(array.shape != first[name].shape for name, array in feeds.items())
        if different and all(array.size for array in feeds.values()):
            with suppress(RunError):
                return run(feeds)
    return None


def _resized(first: Feeds, axes: Axes, change: Change) -> Feeds:
    """Some axes of another length: cut off, or repeated from the start, or the last index once more."""
    feeds = dict(first)
    for name, axis in axes:
        if name in feeds and axis < feeds[name].ndim and feeds[name].shape[axis]:
            length = feeds[name].shape[axis]
            indices = np.arange(change(feeds[name], axis))
            again = np.minimum(indices, length - 1) if len(indices) == length + 1 else indices % length
            feeds[name] = feeds[name].take(again, axis)
    return feeds


def _other_size(array: Array, axis: int) -> int:
    """Twice as long; half as long where the input is large."""
    length: int = array.shape[axis]
    return length // 2 if array.size > LARGE and length % 2 == 0 and length > 2 else 2 * length


def _power_of_two(array: Array, axis: int) -> int:
    """The largest that the length is a multiple of: models that halve maps and join them again take no others."""
    length: int = array.shape[axis]
    return max(2, length & -length)


def _times_as_long(array: Array, axis: int, times: int) -> int:
    return int(array.shape[axis]) * times


#: Other lengths of an axis, in the order in which they are tried until the model takes one. One or two steps come last:
#: a single one is broadcast, and so fits where no other number of steps would.
SHORT: tuple[Change, ...] = (lambda array, axis: 1, lambda array, axis: 2)
CHANGES: tuple[Change, ...] = (
    _other_size,
    lambda array, axis: array.shape[axis] + 1,
    lambda array, axis: max(2, array.shape[axis] // 2),
    lambda array, axis: max(2, array.shape[axis] - 1),
    _power_of_two,
    partial(_times_as_long, times=2),
)
