"""A few feeds of a probe kept for later, as bytes and their description, and a probe that gives them again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import family
from analyzer.probes.fitting import Part, Role
from analyzer.probes.probe import Probe
from analyzer.probes.source import Source


@dataclass(frozen=True)
class StoredArray:
    """One array of a feed; its bytes lie elsewhere."""

    input: str
    role: Role
    dtype: str  # what the model does not declare
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoredFeed:
    """One feed of as many samples as the model takes at least."""

    samples: int
    arrays: tuple[StoredArray, ...]


def stored(parts: Sequence[Part]) -> tuple[tuple[StoredFeed, ...], list[bytes]]:
    """What describes these parts of one feed each, and the bytes of their arrays, one after the other."""
    feeds, contents = [], []
    for part in parts:
        arrays = part.arrays.items()
        kept = tuple(StoredArray(n, part.roles[n], a.dtype.name, tuple(a.shape)) for n, a in arrays)
        feeds.append(StoredFeed(part.samples, kept))
        contents += [_bytes_of(array) for _, array in arrays]
    return tuple(feeds), contents


def restored(feeds: Sequence[StoredFeed], contents: Sequence[bytes], inputs: Mapping[str, TensorType]) -> list[Part]:
    """The parts that were `stored`.

    Raises:
        ProbeError: description, bytes and the model's inputs do not fit together.
    """
    if len(contents) != sum(len(feed.arrays) for feed in feeds):
        raise ProbeError("There are more or fewer arrays than are described.")
    left, parts = iter(contents), []
    for feed in feeds:
        if {array.input for array in feed.arrays} != inputs.keys() or feed.samples < 1:
            raise ProbeError("A feed is not one of this model.")
        arrays = {a.input: _array_of(a, next(left), inputs[a.input]) for a in feed.arrays}
        roles = {array.input: array.role for array in feed.arrays}
        counted = {len(arrays[n]) if arrays[n].ndim else 0 for n, role in roles.items() if role is not Role.FIXED}
        if counted - {feed.samples}:
            raise ProbeError("A feed does not hold as many samples as it says.")
        parts.append(Part(arrays, roles, inputs, feed.samples, feed.samples))
    return parts


def stored_probe(parts: Sequence[Part], source: str, *, random: bool) -> Probe:
    """A probe of such parts alone."""
    return Probe(
        Source(source, lambda: iter(parts), random=random), partial(stored_probe, parts, source, random=random)
    )


def _bytes_of(array: Array) -> bytes:
    if family(array.dtype) == "object":
        return json.dumps([str(item) for item in array.flat]).encode()
    return np.ascontiguousarray(array).tobytes()


def _array_of(kept: StoredArray, content: bytes, declared: TensorType) -> Array:
    damaged = ProbeError(f"The samples of input '{kept.input}' are damaged.")
    try:
        dtype = np.dtype(kept.dtype) if declared.dtype is None else declared.dtype
        if family(dtype) in ("object", "text"):
            return np.array([str(item) for item in json.loads(content)], object).reshape(kept.shape)
        array = np.frombuffer(bytearray(content), dtype)
        if math.prod(kept.shape) == array.size and all(length >= 0 for length in kept.shape):
            return array.reshape(kept.shape)
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged from error
    raise damaged
