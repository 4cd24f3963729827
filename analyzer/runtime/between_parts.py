"""What goes from one part of a model to those after it: so many bytes in memory, the rest in files without a name.

In a decoder that is the stream, of all tokens of a feed, and of all feeds that are run while a part is open.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from analyzer.algebra.pattern import BFLOAT16, Array
from analyzer.graph.mapped_pages import on_disk

KEPT = 1 << 27  # bytes of values that are kept in memory
SPILLED = 1 << 33  # bytes that several feeds together may take on the disk, and
SHARE = 4  # no more than one in so many of those that are free there
BFLOAT16_ONNX = int(onnx.TensorProto.BFLOAT16)
# onnxruntime's names of the types of tensors that can lie in a file, and NumPy's for these.
_PLAIN = {f"tensor({name})": name for name in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")}
_PLAIN |= {"tensor(uint64)": "uint64", "tensor(float16)": "float16", "tensor(bfloat16)": "uint16"}
_PLAIN |= {"tensor(float)": "float32", "tensor(double)": "float64"}


class TooManyFeeds(Exception):
    """So many feeds together take more of the disk than they may: fewer at a time do not."""


@dataclass(frozen=True, slots=True)
class _Value:
    """As onnxruntime takes it; `size` are the bytes that count as kept, `array` is where it lies in a file."""

    value: Any
    size: int = 0
    array: Array | None = None


class BetweenParts:
    """The values of several feeds that later parts read or that are wanted in the end, and what was fed.

    A single feed takes as much of the disk as it needs.
    """

    def __init__(self, feeds: Sequence[Mapping[str, Array]]) -> None:
        self._fed = [frozenset(feed) for feed in feeds]
        self._values = [{name: _Value(wrap(np.asarray(a))) for name, a in feed.items()} for feed in feeds]
        self._kept = self._spilled = 0
        self._most = min(SPILLED, _free_on_disk() // SHARE) if len(feeds) > 1 else None

    def of(self, place: int, names: Iterable[str]) -> dict[str, Any]:
        """Those of these values that there are, of one feed, as onnxruntime takes them."""
        return {name: self._values[place][name].value for name in names if name in self._values[place]}

    def add(self, place: int, made: Mapping[str, Any], later: Set[str]) -> None:
        """Values that a part made of a feed; `later`: what is still needed of this feed.

        Raises:
            TooManyFeeds: the disk has no room for those of so many feeds.
            OutputError: it has none for those of a single one.
        """
        known = self._values[place]
        for name in [name for name in known if name not in later and name not in self._fed[place]]:
            gone = known.pop(name)
            self._kept -= gone.size
            self._spilled -= 0 if gone.array is None else gone.array.nbytes
        for name, value in made.items():
            if name in later:
                known[name] = self._held(value)

    def results(self, place: int, names: Iterable[str]) -> list[Array]:
        """Arrays of these values of one feed; those that lie in a file are read-only."""
        values = [self._values[place][name] for name in names]
        return [unwrap(value.value) if value.array is None else value.array for value in values]

    def _held(self, value: Any) -> _Value:
        kind = _PLAIN.get(value.data_type())
        if kind is None:  # text, for example
            return _Value(value)
        shape = tuple(value.shape())
        size = prod(shape) * np.dtype(kind).itemsize
        if self._kept + size <= KEPT or not size:
            self._kept += size
            return _Value(value, size)
        self._spilled += size
        if self._most is not None and self._spilled > self._most:
            raise TooManyFeeds
        content = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(value.data_ptr()))
        array = on_disk(content).view(kind).reshape(shape)
        array = array.view(BFLOAT16) if value.data_type() == "tensor(bfloat16)" else array
        return _Value(wrap(array), array=array)


def wrap(array: Array) -> Any:
    """An array as onnxruntime takes it, where it lies."""
    if array.dtype == BFLOAT16:
        bits = np.ascontiguousarray(array).view(np.uint16)
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, BFLOAT16_ONNX)
    return ort.OrtValue.ortvalue_from_numpy(array)


def unwrap(value: Any) -> Array:
    """A copy of what onnxruntime holds."""
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    count = prod(shape)
    if not count:
        return np.zeros(shape, BFLOAT16)
    bits: Array = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(value.data_ptr()))
    return np.asarray(bits.copy().view(BFLOAT16).reshape(shape))


def _free_on_disk() -> int:
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free
    except OSError:  # there is no such folder, which is said where a file is needed
        return 0
