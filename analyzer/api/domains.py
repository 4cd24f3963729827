"""The domain of a model: read as it was stated, held against the probe, and points of it where there is no probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.api.rewritten import Source
from analyzer.errors import InputError, ProbeError
from analyzer.facts.domain import Box, Domain, hull_of
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.proof import DomainSummary
from analyzer.facts.units import ShapeTable
from analyzer.graph import Graph, LoadedModel, TensorType
from analyzer.ops.context import Context
from analyzer.probes.input_names import has_sample_axis, quoted
from analyzer.probes.probe import Probe
from analyzer.probes.stated_domain import Reader
from analyzer.walk.lookups import tables
from analyzer.witness.points import Points, Sampler, joined, taken

MODERATE = 100.0  # numbers that are drawn for an input without bounds, at most
SAMPLES = 256  # of a probe that mixes are made of
EVERYTHING = (
    "Inputs may be any number here: what was proven rests on values that nothing passes, such as those behind a Clip "
    "or a Sigmoid, and no inputs were searched. State the domain of the inputs to have more proven, or refuted."
)


def domain_without_probe(loaded: LoadedModel, stated: Any, images: ImageOptions | None) -> Domain:
    """The domain for inputs of the declared shapes.

    Raises:
        InputError: a shape is not declared, or the domain does not fit.
    """
    graph, inputs = loaded.graph, dict[str, TensorType]()
    for name, declared in graph.inputs.items():
        first = 1 if has_sample_axis(name, graph.inputs) else None
        dims = [
            first if first and not axis and not isinstance(d, int) else d for axis, d in enumerate(declared.shape or ())
        ]
        if declared.shape is None or not all(isinstance(d, int) for d in dims):
            raise InputError(
                f"The size of '{name}' ({declared}) is not fixed: give a probe, whose sizes are then meant."
            )
        inputs[name] = TensorType(declared.dtype, tuple(dims))
    types = {name: str(declared.dtype) for name, declared in inputs.items() if declared.dtype is not None}
    shapes = {name: tuple(int(d or 0) for d in declared.shape or ()) for name, declared in inputs.items()}
    table = ShapeTable(shapes, {}, dtypes=types, measured=False)
    return Reader(inputs, images=images, vocabulary=_vocabulary(graph, table), metadata=_metadata(loaded)).domain(
        stated
    )


def drawn_probe(domain: Domain, inputs: Mapping[str, TensorType], number: int, seed: int) -> dict[str, Array]:
    """So many points of the domain as a probe: half of them corners; moderate ones where there are no bounds."""
    sampler = Sampler(domain.clipped(MODERATE), np.random.default_rng(seed))
    number = min(number, sampler.most)
    points = joined([sampler.corners(number - number // 2), sampler.uniform(number // 2)])
    return as_probe(points, {name for name in inputs if has_sample_axis(name, inputs)}, domain)


def as_probe(points: Points, sliced: set[str] | frozenset[str], domain: Domain) -> dict[str, Array]:
    """Points as arrays of a probe: of `sliced` inputs samples lie along axis 0; what is always the same stands once."""

    def array(name: str, entries: Array) -> Array:
        if name in sliced:
            return entries.reshape(-1, *entries.shape[2:])
        return entries if name in domain.varying else entries[0]

    return {name: array(name, entries) for name, entries in points.items()}


def stated_domain(source: Source, stated: Any, images: ImageOptions | None) -> Domain:
    """The domain for inputs of the sizes that the probe has.

    Raises:
        InputError: it is not understood or does not fit.
    """
    shapes, probe, graph = source.shapes, source.probe, source.loaded.graph
    missing = [name for name in graph.inputs if name not in shapes.shapes]
    if missing:
        raise InputError(f"The sizes of {quoted(missing)} are not known: give a probe.")
    inputs = {
        name: TensorType(
            np.dtype(shapes.dtypes[name]) if name in shapes.dtypes else declared.dtype, shapes.shapes[name]
        )
        for name, declared in graph.inputs.items()
    }
    fixed = {} if probe is None else {n: probe.first(1)[0].feeds[n] for n in sorted(probe.fixed)}
    return Reader(
        inputs,
        fixed={name: np.asarray(array) for name, array in fixed.items()},
        images=images,
        vocabulary=_vocabulary(graph, shapes),
        metadata=_metadata(source.loaded),
        observed=None if probe is None else lambda: _observed(probe, shapes),
    ).domain(stated)


def summary_of(domain: Domain) -> DomainSummary:
    """What reports say of a domain, by its bounds."""
    hull = {n: b for n, b in hull_of(domain.boxes).items() if b.low.size and domain.bounds_input(n)}
    ranges = {n: (float(b.low.min()), float(b.high.max())) for n, b in hull.items()}
    return DomainSummary(domain.source, domain.digest, len(domain.boxes), domain.conditional, ranges)


def samples_within(domain: Domain, probe: Probe, shapes: ShapeTable) -> tuple[Points, int]:
    """The first samples of the probe as points, and how many have other sizes than the domain.

    Raises:
        InputError: a sample lies outside of the domain.
    """
    parts, held, seen, others = list[Points](), 0, 0, 0
    for feeds, count in _feeds(probe, shapes):
        if any(feeds[name].shape[1:] != bounds.low.shape for name, bounds in domain.boxes[0].items()):
            others += count
        else:
            for place in range(count):
                outside = domain.outside({name: array[place] for name, array in feeds.items()})
                if outside is not None:
                    raise InputError(
                        f"Sample {seen + place * shapes.samples} of {probe.source} lies outside of the domain: "
                        f"{outside}. State a domain that holds all that the model is fed."
                    )
            if held < SAMPLES:
                parts.append(taken({name: feeds[name] for name in domain.boxes[0]}, slice(0, SAMPLES - held)))
                held += count
        seen += count * shapes.samples
    return joined(parts), others * shapes.samples


def _observed(probe: Probe, shapes: ShapeTable) -> dict[str, Box]:
    """The range of every element of every input over the probe."""
    found: dict[str, Box] = {}
    for feeds, _ in _feeds(probe, shapes):
        for name, array in feeds.items():
            low, high = array.min(axis=0), array.max(axis=0)
            before = found.get(name, Box(low, high))
            if before.low.shape != low.shape:
                raise InputError(f"Samples have '{name}' in several sizes, so that there is no range: state a domain.")
            found[name] = Box(np.minimum(before.low, low), np.maximum(before.high, high))
    return found


def _feeds(probe: Probe, shapes: ShapeTable) -> Iterator[tuple[Points, int]]:
    """The probe's samples as points, and how many; inputs that are fed unchanged stand in each."""
    if probe.one_shot:
        raise ProbeError(f"{probe.source} can be read only once: give a list, or a function that returns a generator.")
    for batch in probe.batches(max(64 // shapes.samples, 1) * shapes.samples):
        count, points = batch.samples // shapes.samples, Points()
        for name, given in batch.feeds.items():
            array, first = np.asarray(given), shapes.shapes.get(name, ())[:1]
            if count > 1 and array.ndim and first and array.shape[0] == count * first[0] and name not in probe.fixed:
                points[name] = array.reshape(count, *first, *array.shape[1:])
            else:
                points[name] = np.broadcast_to(array, (count, *array.shape))
        yield points, count


def _vocabulary(graph: Graph, shapes: ShapeTable) -> dict[str, int]:
    """By input the rows of the tables that it looks up: the fewest, where there are several."""
    found: dict[str, int] = {}
    for table in tables(Context(graph, shapes)):
        for _, _, source in table.lookups:
            found[source] = min(table.rows, found.get(source, table.rows))
    return found


def _metadata(loaded: LoadedModel) -> dict[str, str]:
    return {str(key): str(text) for key, text in loaded.model.metadata_props.items()}
