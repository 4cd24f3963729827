"""Which lengths depend on the free dims of the inputs: found by running the model on inputs of another size.

What holds for the length that the probe happens to have need not hold for others, so no fact may vary along such axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.units import Shape, ShapeTable
from analyzer.graph.view import TensorType
from analyzer.observe.feeds import Array, Feeds

LARGE = 1 << 18  # elements of an input from which a smaller one is tried, not a larger one
MOST_RUNS = 12

Axes = frozenset[tuple[str, int]]


def free_axes(inputs: Mapping[str, TensorType], table: ShapeTable) -> list[Axes]:
    """Axes of inputs that are declared without a number, but for the sample axis; those of one name together."""
    found: dict[object, set[tuple[str, int]]] = {}
    for name, declared in inputs.items():
        samples = table.sample_axes[name].axis if table.batchable and name in table.sample_axes else None
        for axis, dim in enumerate(declared.shape or ()):
            if not isinstance(dim, int) and axis != samples:
                found.setdefault(dim if dim is not None else (name, axis), set()).add((name, axis))
    return [frozenset(axes) for axes in found.values()]


def with_free_dims(
    table: ShapeTable, groups: list[Axes], first: Feeds, run: Callable[[Feeds], dict[str, Shape]]
) -> ShapeTable:
    """The table with the axes whose lengths change, and the shapes of inputs of other sizes.

    All free dims are changed at once; where the model does not run so, one after the other.
    """
    every = _attempt(first, frozenset[tuple[str, int]]().union(*groups), run)
    resized = [every] if every is not None else [s for s in _one_by_one(groups, first, run) if s is not None]
    dynamic: dict[str, frozenset[int]] = {}
    for shapes in resized:
        for name, other in shapes.items():
            mine = table.shapes.get(name)
            if mine is not None and mine != other:
                same_rank = len(mine) == len(other)
                changed = {a for a, d in enumerate(mine) if not same_rank or other[a] != d}
                dynamic[name] = dynamic.get(name, frozenset()) | changed
    return replace(table, dynamic=dynamic, resized=tuple(resized))


def _one_by_one(
    groups: list[Axes], first: Feeds, run: Callable[[Feeds], dict[str, Shape]]
) -> Iterator[dict[str, Shape] | None]:
    for axes in groups[: MOST_RUNS // 2]:
        yield _attempt(first, axes, run)


def _attempt(first: Feeds, axes: Axes, run: Callable[[Feeds], dict[str, Shape]]) -> dict[str, Shape] | None:
    """Shapes with these axes twice (or half) as long, else one longer; None when the model runs on neither."""
    for change in (_other_size, _one_more):
        feeds = dict(first)
        for name, axis in axes:
            if name in feeds and axis < feeds[name].ndim:
                feeds[name] = change(feeds[name], axis)
        try:
            return run(feeds) | {name: np.shape(array) for name, array in feeds.items()}
        except RunError:
            continue
    return None


def _other_size(array: Array, axis: int) -> Array:
    length = array.shape[axis]
    if array.size > LARGE and length % 2 == 0:
        return array.take(range(length // 2), axis)
    return np.concatenate([array, array], axis)


def _one_more(array: Array, axis: int) -> Array:
    return np.concatenate([array, array.take([-1], axis)], axis)
