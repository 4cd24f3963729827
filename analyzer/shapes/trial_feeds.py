"""Feeds for looking at a model before the data is read: the first samples, two joined into one, and guesses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.units import ShapeTable
from analyzer.graph import TensorType
from analyzer.probes.fitting import Feeds, same_array
from analyzer.probes.probe import Probe

CANDIDATES = 4  # samples among which we look for two that differ
# Sizes tried for every free dim but the first; 1 comes last, since a window that hangs over the edge of such an input
# does not show what happens on others.
GUESSES = (32, 8, 64, 128, 224, 4, 2, 1)
LARGEST_GUESS = 1 << 24  # elements of all inputs of one feed


def first_samples(probe: Probe) -> list[Feeds]:
    """The feeds of the first sample and, if there is one of the same shapes, of another that differs from it."""
    batches = [b.feeds for b in probe.first(CANDIDATES)]
    first = batches[0]
    alike = [f for f in batches[1:] if all(f[n].shape == a.shape for n, a in first.items())]
    different = [f for f in alike if any(not same_array(f[n], a) for n, a in first.items())]
    return [first, *(different or alike)[:1]]


def join(pair: Sequence[Feeds], samples: int = 1, fixed: Collection[str] = ()) -> Feeds:
    """One feed of two: inputs that hold `samples` entries along axis 0 are concatenated, others stay as they are.

    `fixed` inputs are fed unchanged with every sample.
    """
    first, second = pair
    grows = {n: a.ndim > 0 and len(a) == samples and n not in fixed for n, a in first.items()}
    return {name: np.concatenate([a, second[name]]) if grows[name] else a for name, a in first.items()}


def guessed_samples(inputs: Mapping[str, TensorType]) -> Iterator[list[Feeds]]:
    """Pairs of feeds to try when there is no data; free dims take the same size in all inputs.

    None that is larger than `LARGEST_GUESS`: a file of a hundred bytes can declare any length.
    """
    free = any(not isinstance(d, int) for t in inputs.values() for d in (t.shape or ())[1:])
    for size in GUESSES if free else GUESSES[:1]:
        if sum(prod(_lengths(t, size)) for t in inputs.values()) > LARGEST_GUESS:
            continue
        random = np.random.default_rng(0)
        yield [{n: _guess(t, size, random) for n, t in inputs.items()} for _ in range(2)]


def drawn_feeds(inputs: Mapping[str, TensorType], shapes: ShapeTable) -> Iterator[tuple[Feeds, int]]:
    """Random feeds of the shapes that `measure_shapes` found without data, and how many samples each holds.

    First samples alone, then two in one feed and inputs of other lengths, where the model was seen to take them. None
    where an input's shape is unknown.
    """
    if any(name not in shapes.shapes for name in inputs):
        return
    singles = [_drawn(inputs, shapes.shapes, seed) for seed in range(CANDIDATES)]
    yield from ((feeds, 1) for feeds in singles)
    if shapes.batchable and not shapes.free_inputs:
        yield join(singles[:2]), 2
    for other in shapes.resized[:2]:
        if all(name in other for name in inputs):
            yield _drawn(inputs, other, 0), 1


def _drawn(inputs: Mapping[str, TensorType], lengths: Mapping[str, tuple[int, ...]], seed: int) -> Feeds:
    random = np.random.default_rng(seed)
    feeds = {n: _guess(TensorType(t.dtype, lengths[n]), 1, random) for n, t in inputs.items()}
    # centred and wide: what holds for every input must hold for negative and for large ones too
    return {n: a if a.dtype.kind != "f" or seed % 2 else ((a - a.dtype.type(0.5)) * 8) for n, a in feeds.items()}


def _guess(declared: TensorType, size: int, random: np.random.Generator) -> Array:
    shape = _lengths(declared, size)
    dtype = declared.dtype if declared.dtype is not None else np.dtype(np.float32)
    if dtype.kind == "f" or dtype.name == "bfloat16":
        return random.random(shape).astype(dtype)
    return np.full(shape, "", dtype) if dtype.kind in "OUST" else np.zeros(shape, dtype)


def _lengths(declared: TensorType, size: int) -> list[int]:
    return [d if isinstance(d, int) else (size if axis else 1) for axis, d in enumerate(declared.shape or ())]
