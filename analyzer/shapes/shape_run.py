"""Concrete shapes of all values and where the samples lie in them, from real runs on one and on two samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from analyzer.algebra.pattern import Shape
from analyzer.errors import RunError, RunFailure
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.graph.infer_shapes import inferred_shapes
from analyzer.graph.open_branches import with_branches
from analyzer.graph.validate import MOST_AXES
from analyzer.ops.context import Context
from analyzer.ops.operator import traits_of
from analyzer.ops.samples import mixes_samples
from analyzer.ops.shared_context import context_of
from analyzer.probes.fitting import Feeds
from analyzer.probes.probe import Probe
from analyzer.runtime.run_limit import runs_limited
from analyzer.shapes.batching import TwoSamples
from analyzer.shapes.free_dims import changed_axes, free_axes, with_free_dims
from analyzer.shapes.shape_session import ShapeRun
from analyzer.shapes.taken_branches import taken_branches
from analyzer.shapes.trial_feeds import first_samples, guessed_samples, join

MOST_MULTIPLY_ADDS = 1 << 36  # of a run on a guess: a second or two; a few kilobytes of weights can take hours
LONGEST_GUESS = 60  # seconds of a run on a guess


def measure_shapes(
    loaded: LoadedModel,
    probe: Probe | None,
    *,
    threads: int | None = None,
    independent: bool = False,
    varying: frozenset[str] = frozenset(),
) -> ShapeTable:
    """Shape of every value for one sample, and how each grows with a second one; whether samples may share a feed.

    Without a probe the inputs are guessed (free dims small); when no guess runs, or an operator is one that
    onnxruntime does not have, shapes come from ONNX shape inference. A value whose shape cannot be had is absent.
    `independent`: the user's word that samples do not influence each other. `varying` are conditions that are true for
    some samples alone: the choices that they make are left as they are, and nothing is shown of their branches.

    Raises:
        RunError: onnxruntime refuses the model, or it does not run on the probe's first sample.
    """
    if probe is not None:
        try:
            return _of_probe(loaded, probe, threads, independent, varying)
        except RunError as error:
            every = frozenset(n.inputs[0] for n in loaded.graph.nodes if n.key).union(*loaded.graph.stepped.values())
            if error.kind is RunFailure.MEMORY or every <= varying:
                raise
            return _of_probe(loaded, probe, threads, independent, every)  # does it run as it is?
    too_large = None
    for samples in guessed_samples(loaded.graph.inputs):
        if _multiply_adds(loaded, samples[0]) > MOST_MULTIPLY_ADDS:
            continue
        try:
            with runs_limited(LONGEST_GUESS, "its inputs were guessed; give data (--probe DATA)"):
                opened, taken = _opened(loaded, samples[0], threads)
                table = _with_free_dims(opened, threads, _measured(opened, threads, samples), samples[0])
                return replace(table, taken=taken)
        except RunError as error:
            if error.kind in (RunFailure.NO_KERNEL, RunFailure.NOT_LOADED):  # with what was added to it
                break
            if error.kind is RunFailure.TOO_LARGE:
                too_large = error
    if too_large is not None:
        raise too_large
    return _inferred(loaded)


def _of_probe(
    loaded: LoadedModel, probe: Probe, threads: int | None, independent: bool, varying: frozenset[str]
) -> ShapeTable:
    samples = first_samples(probe)
    loaded, taken = _opened(loaded, samples[0], threads, varying)
    given = sum(array.nbytes for array in samples[0].values())
    table = _measured(loaded, threads, samples, given, batchable=probe.batchable, step=probe.step, fixed=probe.fixed)
    table = _with_free_dims(loaded, threads, table, samples[0], given)
    table = replace(table, stated=independent, taken=taken, varying=varying)
    if not table.batchable:
        return table
    graph = loaded.graph
    if loaded.assumed:
        graph = replace(graph, outputs=(*graph.outputs, *loaded.assumed))  # what is chosen is given out
    return replace(table, may_mix=mixes_samples(context_of(graph, table.of_single_samples), probe.fixed))


def _opened(
    loaded: LoadedModel, feeds: Feeds, threads: int | None, varying: frozenset[str] = frozenset()
) -> tuple[LoadedModel, dict[str, int]]:
    """The model with the branches in place that this feed takes, and which these are."""
    taken = taken_branches(loaded, feeds, threads, varying)
    opened = with_branches(loaded, taken)
    return opened if opened.shut == varying else replace(opened, shut=varying), taken


def _measured(
    loaded: LoadedModel,
    threads: int | None,
    samples: Sequence[Feeds],
    given: int = 0,
    *,
    batchable: bool = True,
    step: int = 1,
    fixed: Collection[str] = (),
) -> ShapeTable:
    """`samples` are the feeds of one or two samples of the same shapes; `fixed` inputs belong to both.

    `given` are the bytes of a sample that was not guessed, in proportion to which memory may be taken.
    """
    first = samples[0]
    with ShapeRun(loaded, threads, given) as run:
        single, outputs = run(first)
        shapes = _stored_shapes(loaded) | single
        alone = ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(None)), step, run.dtypes, steps=dict(run.steps))
        if len(samples) < 2:
            return alone
        other, second = run(samples[1])
        if moved := changed_axes(alone, [other]):  # by what the samples hold, as they have the same shapes
            alone = replace(alone, dynamic=moved, resized=(other,))
        if not batchable:
            return alone
        both = TwoSamples(loaded, threads, alone, samples, join(samples, step, fixed), (outputs, second), given)
        together = run.attempt(both.pair)
    return both.table(together)


def _with_free_dims(
    loaded: LoadedModel, threads: int | None, table: ShapeTable, first: Feeds, given: int = 0
) -> ShapeTable:
    groups = free_axes(loaded.graph.inputs, table)
    if not groups:
        return table
    with ShapeRun(loaded, threads, given, table.free_inputs, table.dtypes) as run:
        return with_free_dims(table, groups, first, lambda feeds: run(feeds)[0], loaded.graph)


def _multiply_adds(loaded: LoadedModel, feeds: Feeds) -> int:
    """What a run takes, as far as shape inference tells; nothing is run. 0 for a model that makes no sense."""
    if not any(traits_of(node).sums_products for node in loaded.graph.nodes):
        return 0
    shapes = inferred_shapes(loaded, {name: array.shape for name, array in feeds.items()}) | _stored_shapes(loaded)
    with suppress(Exception):  # nobody has checked the model yet; onnxruntime says what is wrong with it
        context = Context(loaded.graph, ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(None))))
        return sum(call.multiply_adds(lambda name: shapes.get(name, ())) or 0 for call in context.calls)
    return 0


def _stored_shapes(loaded: LoadedModel) -> dict[str, Shape]:
    return loaded.graph.defaults | {n: loaded.graph.initializer_shape(n) for n in loaded.graph.initializer_names}


def _inferred(loaded: LoadedModel) -> ShapeTable:
    """Static shapes by ONNX shape inference; the first dim of inputs counts as one sample."""
    inferred = {name: shape for name, shape in inferred_shapes(loaded).items() if len(shape) <= MOST_AXES}
    shapes = inferred | _stored_shapes(loaded)
    dtypes = {n: t.dtype.name for n, t in loaded.graph.types.items() if t.dtype is not None}
    return ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(None)), dtypes=dtypes, measured=False)
