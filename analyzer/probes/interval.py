"""The bounds of one input as people write them: a pair, or low and high with how numbers are prepared, and the like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.errors import InputError
from analyzer.facts.domain import Box
from analyzer.facts.wording import suggestion
from analyzer.graph.view import TensorType
from analyzer.probes.numpy_files import read_npy

KEYS = ("low", "high", "scale", "mean", "std", "pixels", "tokens", "center", "radius", "value")
_PREPARING = ("scale", "mean", "std")
#: A sample that is prepared in single precision lies so far outside of what double precision says, in its last digits.
ROUNDING = 8 * 2.0**-24


def interval_of(stated: Any, declared: TensorType, name: str, folder: Path = Path()) -> Box:
    """The bounds of an input, in its element type and shape.

    `stated` is a pair `[low, high]`; or a mapping with `low` and `high`; `pixels: 255` for 0 to 255; `tokens: N` for 0
    to N - 1; `value` for a single one; `center` and `radius`, within `low` and `high` where these are given. With
    `scale`, `mean` and `std` the bounds are those of numbers before `(number * scale - mean) / std`. Each is a number,
    a list as long as one axis (the channels), a list of the input's shape, or the name of a `.npy` file.

    Raises:
        InputError: it is not understood or does not fit.
    """
    if isinstance(stated, list | tuple) and len(stated) == 2:
        stated = {"low": stated[0], "high": stated[1]}
    if not isinstance(stated, Mapping):
        raise InputError(f"The bounds of '{name}' are neither [low, high] nor a mapping: write for example [0, 1].")
    for key in stated:
        if key not in KEYS:
            raise InputError(f"'{key}' says nothing of the bounds of '{name}'{suggestion(str(key), KEYS)}")
    shape = tuple(int(d or 0) for d in declared.shape or ())
    given = {key: _spread(_numbers(value, key, name, folder), shape, key, name) for key, value in stated.items()}
    return typed(_prepared(_raw(given, name), given), declared, name)


def stated_as(box: Box) -> dict[str, Any]:
    """What `interval_of` makes these bounds of, as short as can be: a number, one for each channel, or all of them."""
    return {side: _shortest(end) for side, end in (("low", box.low), ("high", box.high))}


def _shortest(end: Array) -> Any:
    flat = end.reshape(-1)
    if flat.size and (flat == flat[0]).all():
        return flat[0].item()
    for axis, length in enumerate(end.shape):
        along = np.moveaxis(end, axis, 0).reshape(length, -1)
        if axis and length not in end.shape[1:axis] and (along == along[:, :1]).all():
            return along[:, 0].tolist()
    return end.tolist()


def typed(box: Box, declared: TensorType, name: str) -> Box:
    """The same bounds as numbers of the input's type: the nearest, so that every such number within stays within.

    Raises:
        InputError: nothing lies within, or the type has no numbers to bound.
    """
    dtype = declared.dtype if declared.dtype is not None else np.dtype(np.float32)
    if dtype.kind not in "fiub" and dtype.name != "bfloat16":
        raise InputError(f"'{name}' holds {dtype.name}, which has no bounds: such a model cannot be looked at so.")
    low, high = np.asarray(box.low), np.asarray(box.high)
    if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
        raise InputError(f"The bounds of '{name}' leave nothing: low must be a number that is at most high.")
    if dtype.kind in "iub":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype.type).min, np.iinfo(dtype.type).max)
        low, high = np.ceil(low), np.floor(high)
        if (low > high).any() or (low < least).any() or (high > most).any():
            raise InputError(f"The bounds of '{name}' hold no {dtype.name}, or more than it can be.")
        low, high = _up_to(low, most, dtype), _up_to(high, most, dtype)
    with np.errstate(over="ignore"):
        low, high = low.astype(dtype), high.astype(dtype)
    if dtype.kind != "b" and not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError(f"The bounds of '{name}' are larger than a {dtype.name} can be.")
    return Box(low, high)


def _up_to(end: Array, most: int, dtype: np.dtype[Any]) -> Array:
    """Whole numbers; the largest of 64 bits is none in double precision, and the next one would wrap around."""
    return np.where(end >= most, np.array(most, dtype), np.where(end >= most, 0, end).astype(dtype))


def _raw(given: Mapping[str, Array], name: str) -> Box:
    """Bounds before anything is prepared."""
    if "value" in given:
        return Box(given["value"], given["value"])
    if "pixels" in given:
        return Box(np.zeros_like(given["pixels"]), given["pixels"])
    if "tokens" in given:
        return Box(np.zeros_like(given["tokens"]), given["tokens"] - 1)
    if "center" in given and "radius" in given:
        low, high = given["center"] - given["radius"], given["center"] + given["radius"]
        return Box(np.maximum(low, given.get("low", -np.inf)), np.minimum(high, given.get("high", np.inf)))
    if "low" in given and "high" in given:
        return Box(given["low"], given["high"])
    raise InputError(f"The bounds of '{name}' are incomplete: give low and high, or center and radius.")


def _prepared(box: Box, given: Mapping[str, Array]) -> Box:
    """What becomes of the bounds by `(number * scale - mean) / std`, as single precision may round it."""
    if not given.keys() & set(_PREPARING):
        return box
    scale, mean, std = given.get("scale", 1.0), given.get("mean", 0.0), given.get("std", 1.0)
    ends = [(side * scale - mean) / std for side in (box.low, box.high)]
    slack = [ROUNDING * (np.abs(side * scale) + np.abs(mean)) / np.abs(std) for side in (box.low, box.high)]
    low = np.minimum(ends[0] - slack[0], ends[1] - slack[1])
    return Box(low, np.maximum(ends[0] + slack[0], ends[1] + slack[1]))


def _numbers(value: Any, key: str, name: str, folder: Path) -> Array:
    if isinstance(value, str):
        if not value.endswith(".npy"):
            raise InputError(f"{key} of '{name}' is the text {value!r}: give numbers, or the name of a .npy file.")
        return np.asarray(read_npy(folder / value), np.float64)
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{key} of '{name}' is no number and no even list of numbers.") from error
    if np.isnan(numbers).any() or (key == "std" and (numbers == 0).any()):
        raise InputError(f"{key} of '{name}' holds {'a 0' if key == 'std' else 'what is no number'}.")
    return numbers


def _spread(numbers: Array, shape: Shape, key: str, name: str) -> Array:
    """The numbers in the input's shape: one for all, one for each index of an axis, or one for each element."""
    if numbers.ndim == 0 or numbers.shape == shape:
        return np.broadcast_to(numbers, shape)
    if numbers.size == np.prod(shape, dtype=np.int64) and numbers.ndim <= len(shape):
        return numbers.reshape(shape)
    along = [axis for axis, length in enumerate(shape) if numbers.shape == (length,) and axis]
    if along:
        return np.broadcast_to(numbers.reshape([-1 if axis == along[0] else 1 for axis in range(len(shape))]), shape)
    sizes = "x".join(map(str, shape)) or "a single number"
    raise InputError(f"{key} of '{name}' has {numbers.size} numbers, which fit no axis of {sizes}.")
