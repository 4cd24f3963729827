"""Pattern arrays: a fact about a value, with length 1 along every axis on which the fact does not vary.

A pattern has the rank of its value and broadcasts to the value's shape. `shape` below is always the value's shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = np.ndarray[Any, np.dtype[Any]]
Mask = npt.NDArray[np.bool_]
Shape = tuple[int, ...]
BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)


@cache
def uniform(rank: int, value: bool) -> Mask:
    """The pattern of a fact that varies nowhere; read-only, as all callers get the same."""
    pattern = np.full((1,) * rank, value, np.bool_)
    pattern.setflags(write=False)
    return pattern


@cache
def type_name(dtype: np.dtype[np.generic]) -> str:
    """NumPy's name of an element type, which it puts together each time."""
    return dtype.name


def compress(array: Array) -> Array:
    """The smallest pattern that broadcasts to `array`."""
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            first = array.take([0], axis)
            if np.array_equal(np.broadcast_to(first, array.shape), array):
                array = first
    return array


def along(pattern: Array, axis: int, length: int) -> Array:
    """The pattern with `axis` written out to its full length."""
    if pattern.shape[axis] == length:
        return pattern
    shape = list(pattern.shape)
    shape[axis] = length
    return np.broadcast_to(pattern, shape)


def some(mask: Mask, axes: int | tuple[int, ...], *, keepdims: bool = False) -> Mask:
    """Whether the mask holds somewhere along these axes."""
    return np.asarray(mask.any(axis=axes, keepdims=keepdims))


def every(mask: Mask, axes: int | tuple[int, ...], *, keepdims: bool = False) -> Mask:
    """Whether the mask holds everywhere along these axes."""
    return np.asarray(mask.all(axis=axes, keepdims=keepdims))


def any_to(mask: Mask, shape: Shape) -> Mask:
    """Fold a mask over a broadcast result back onto an operand of `shape` (right-aligned)."""
    mask = some(mask, tuple(range(mask.ndim - len(shape)))) if mask.ndim > len(shape) else mask
    lost = tuple(a for a in range(mask.ndim) if shape[a] == 1 and mask.shape[a] > 1)
    return some(mask, lost, keepdims=True) if lost else mask


def per_index(mask: Mask, axis: int, length: int, *, every: bool) -> Mask:
    """One flag per index of `axis`: whether the mask holds everywhere (`every`) or somewhere at that index."""
    others = tuple(a for a in range(mask.ndim) if a != axis)
    folded = mask.all(axis=others) if every else mask.any(axis=others)
    return np.broadcast_to(folded, (length,))


def box(mask: Mask) -> list[Mask]:
    """Per axis the indices of the smallest box around what the mask holds; of length 1 where it does not vary."""
    axes = range(mask.ndim)
    return [np.logical_or.reduce(mask, axis=tuple(a for a in axes if a != axis)) for axis in axes]


def on_axis(vector: Array, axis: int, rank: int) -> Array:
    """A vector as a pattern that varies along `axis` alone."""
    shape = [1] * rank
    shape[axis] = len(vector)
    return vector.reshape(shape)


def reshape_groups(source: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Which source axes become which target axes: the finest split into groups of equal products.

    Axes of length 1 stand alone, as groups without an opposite.
    """
    groups: list[tuple[list[int], list[int]]] = [([a], []) for a, d in enumerate(source) if d == 1]
    groups += [([], [a]) for a, d in enumerate(target) if d == 1]
    left = [a for a, d in enumerate(source) if d != 1]
    right = [a for a, d in enumerate(target) if d != 1]
    while left or right:
        ins, outs = [left.pop(0)], [right.pop(0)]
        a, b = source[ins[0]], target[outs[0]]
        while a != b:
            if a < b:
                ins.append(left.pop(0))
                a *= source[ins[-1]]
            else:
                outs.append(right.pop(0))
                b *= target[outs[-1]]
        groups.append((ins, outs))
    return groups


def reshape(pattern: Array, source: Shape, target: Shape) -> Array:
    """The pattern of a reshaped value; only axes on which it varies are written out."""
    wide, result = list(pattern.shape), [1] * len(target)
    for left, right in reshape_groups(source, target):
        if any(pattern.shape[a] > 1 for a in left):
            for axis in left:
                wide[axis] = source[axis]
            for axis in right:
                result[axis] = target[axis]
    return compress(np.broadcast_to(pattern, wide).reshape(result))


def take(pattern: Array, axis: int, indices: npt.NDArray[np.int64], fill: Any = None) -> Array:
    """The pattern of `value.take(indices, axis)`; index -1 stands for `fill`."""
    padded = fill is not None and bool((indices < 0).any())
    if pattern.shape[axis] == 1 and not padded:
        return pattern
    if pattern.shape[axis] == 1:
        pattern = along(pattern, axis, int(indices.max(initial=0)) + 1)
    taken = pattern.take(np.maximum(indices, 0), axis)
    if padded:
        gap = on_axis(indices < 0, axis, pattern.ndim)
        taken = np.where(gap, np.asarray(fill, pattern.dtype), taken)
    return taken


def put_any(mask: Mask, axis: int, indices: npt.NDArray[np.int64], length: int) -> Mask:
    """Backward of `take`: which source indices some taken index asks for."""
    wide = along(mask, axis, len(indices))
    shape = list(wide.shape)
    shape[axis] = length
    result = np.zeros(shape, np.bool_)
    real = indices >= 0
    moved, source = np.moveaxis(result, axis, 0), np.moveaxis(wide, axis, 0)
    np.logical_or.at(moved, indices[real], source[real])
    return result


def concatenate(patterns: Sequence[Array], axis: int, lengths: Sequence[int]) -> Array:
    """The pattern of a concatenation."""
    rank = patterns[0].ndim
    common = [max(p.shape[a] for p in patterns) for a in range(rank)]
    wide = []
    for pattern, length in zip(patterns, lengths, strict=True):
        shape = list(common)
        shape[axis] = length
        wide.append(np.broadcast_to(pattern, shape))
    return np.concatenate(wide, axis)


def index_map(places: Array | None, axis: int) -> Array | None:
    """Per index on one axis of the output where it comes from; None where that depends on other axes as well."""
    if places is None or any(length > 1 for a, length in enumerate(places.shape) if a != axis):
        return None
    return places.reshape(-1)
