"""Drawn probe data: only when asked for by name, and labelled as random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import dtype_name, family
from analyzer.probes.fitting import Fitter, Part
from analyzer.probes.input_names import has_sample_axis, quoted
from analyzer.probes.memory import check_shape
from analyzer.probes.source import Source

KINDS = ("normal", "uniform")
_BLOCK_ELEMENTS = 1 << 20  # drawn at once; a constant, because the block size is part of what a seed means
_BLOCK_SAMPLES = 64
_LARGEST_ITEM = 12  # bytes of a number as it is drawn and as it is fed


def random_source(
    inputs: Mapping[str, TensorType],
    *,
    samples: int,
    seed: int,
    kind: str,
    free_dims: Mapping[str, int],
    constants: frozenset[str] = frozenset(),
) -> Source:
    """Blocks of drawn samples; every block and input has its own generator, so a prefix stays a prefix.

    `constants` are drawn once and fed unchanged with every sample.

    Raises:
        ProbeError: unknown kind, no samples, a negative seed, a free dim without a size, a size for none, an
        input that cannot be drawn, a sample larger than memory.
    """
    if kind not in KINDS:
        raise ProbeError(f"'{kind}' is no kind of random probe: choose {' or '.join(KINDS)}.")
    if samples < 1:
        raise ProbeError(f"A random probe of {samples} samples was asked for: it takes at least 1.")
    if seed < 0:
        raise ProbeError(f"The seed is {seed}: it must be 0 or more.")
    stacked = _dims_conflict(inputs)
    _check_free_dims(inputs, free_dims)
    shapes = {name: _sample_shape(name, inputs, free_dims, stacked, constants) for name in inputs}
    name = f"random {kind} (seed {seed})"
    # NumPy multiplies the other lengths though one is 0, and refuses what is too large.
    per_sample = sum(math.prod(length or 1 for length in shape) for shape in shapes.values())
    check_shape(per_sample * _LARGEST_ITEM, "One random sample", "give smaller sizes")
    block = max(1, min(_BLOCK_SAMPLES, _BLOCK_ELEMENTS // max(per_sample, 1)))
    fitter = Fitter(inputs, constants, sampled=True)
    fixed = {
        key: _drawn(np.random.default_rng((seed, 0, position)), shapes[key], declared, kind)
        for position, (key, declared) in enumerate(inputs.items())
        if key in constants
    }

    def parts() -> Iterator[Part]:
        for number, start in enumerate(range(0, samples, block)):
            raw = dict(fixed)
            for position, (key, declared) in enumerate(inputs.items()):
                if key in fixed:
                    continue
                draw = np.random.default_rng((seed, number, position))
                raw[key] = _drawn(draw, (block, *shapes[key]), declared, kind)[: samples - start]
            yield fitter.part(raw, name)

    return Source(name, parts, samples=samples, random=True)


def _dims_conflict(inputs: Mapping[str, TensorType]) -> bool:
    """Whether the model fixes different first dims, which then cannot all count samples."""
    first = {t.shape[0] for n, t in inputs.items() if t.shape and has_sample_axis(n, inputs)}
    return sum(isinstance(d, int) for d in first) > 1


def _sample_shape(
    name: str,
    inputs: Mapping[str, TensorType],
    free_dims: Mapping[str, int],
    stacked: bool,
    constants: frozenset[str],
) -> tuple[int, ...]:
    """Dims of one sample as drawn; without a sample axis, an input is drawn with one axis more: stacked."""
    declared = inputs[name]
    if declared.dtype is None or declared.shape is None:
        raise ProbeError(f"Input '{name}' declares no type or shape, so it cannot be drawn: give data for it.")
    if declared.dtype.kind == "O" or family(declared.dtype) not in ("float", "integer", "boolean"):
        raise ProbeError(f"Input '{name}' takes {dtype_name(declared.dtype)}, which cannot be drawn: give data for it.")
    batched = bool(declared.shape) and has_sample_axis(name, inputs)
    dims = [
        dim if isinstance(dim, int) else 1 if batched and axis == 0 else _size_of(name, axis, dim, free_dims)
        for axis, dim in enumerate(declared.shape)
    ]
    return tuple(dims[1:] if batched and not stacked and name not in constants else dims)


def _check_free_dims(inputs: Mapping[str, TensorType], free_dims: Mapping[str, int]) -> None:
    """Refuse a size that no input asks for: it is a typing error, or the model fixes that dim."""
    asked = [
        key
        for name, declared in inputs.items()
        for axis, dim in enumerate(declared.shape or ())
        if not isinstance(dim, int)
        for key in (dim or f"{name}:{axis}", f"{name}:{axis}")
    ]
    for key in free_dims:
        if key not in asked:
            raise ProbeError(f"No input has a free dim {key!r}: there are {quoted(dict.fromkeys(asked)) or 'none'}.")


def _size_of(name: str, axis: int, dim: str | None, free_dims: Mapping[str, int]) -> int:
    for key in (dim, f"{name}:{axis}"):
        if key is not None and key in free_dims:
            if free_dims[key] < 1:
                raise ProbeError(f"The size of the free dim {key} is {free_dims[key]}: it must be at least 1.")
            return free_dims[key]
    label, key = (f"'{dim}'", dim) if dim else ("without a name", f"{name}:{axis}")
    raise ProbeError(f"Input '{name}' has a free dim {label} at axis {axis}: give it a size as {key}=SIZE.")


def _drawn(draw: np.random.Generator, shape: tuple[int, ...], declared: TensorType, kind: str) -> Array:
    dtype = declared.dtype
    if dtype is None or family(dtype) != "float":
        return draw.integers(0, 2, shape, dtype=np.uint8).astype(dtype or np.int64)
    if kind == "normal":
        return draw.standard_normal(shape, dtype=np.float32).astype(dtype)
    return draw.random(shape, dtype=np.float32).astype(dtype)
