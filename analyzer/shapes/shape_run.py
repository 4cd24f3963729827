"""Concrete shapes of all values and where the samples lie in them, from real runs on one and on two samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import onnx

from analyzer.errors import RunError
from analyzer.facts.units import SampleAxis, Shape, ShapeTable
from analyzer.graph import Extension, Graph, LoadedModel, Node
from analyzer.probes.probe import Probe
from analyzer.runtime.session import Optimization, Session
from analyzer.shapes.free_dims import changed_axes, free_axes, with_free_dims
from analyzer.shapes.trial_feeds import Array, Feeds, first_samples, guessed_samples, join

ATTEMPTS = 20  # values that may be dropped one by one before the run is given up
TOLERANCE = {"float64": 1e-9, "float16": 2e-2, "bfloat16": 5e-2}  # relative to the largest entry
DEFAULT_TOLERANCE = 1e-3
QUANTISED_TOLERANCE = 0.1  # for values that mix: a dynamic quantiser rounds each batch by a scale of its own
FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a probe is fed: `size` samples at a time, with the first dim of `free_inputs` made free if need be."""

    size: int
    free_inputs: tuple[str, ...] = ()

    @property
    def batchable(self) -> bool:
        """Whether several samples share a feed."""
        return self.size > 1


def plan_batches(shapes: ShapeTable, probe: Probe, batch_size: int, values: Sequence[str] = ()) -> BatchPlan:
    """Feed up to `batch_size` samples at once where the model and the data were seen to allow it.

    `values` are the values whose samples must be told apart.
    """
    mixed = any(v in shapes.scrambled for v in values)
    if not (shapes.batchable and probe.batchable) or mixed or batch_size <= shapes.samples:
        return BatchPlan(shapes.samples)
    return BatchPlan(batch_size, shapes.free_inputs)


def measure_shapes(loaded: LoadedModel, probe: Probe | None, *, threads: int | None = None) -> ShapeTable:
    """Shape of every value for one sample, and how each grows with a second one.

    Without a probe the inputs are guessed (free dims small); when no guess runs, shapes come from ONNX shape
    inference. A value whose shape cannot be had is absent.

    Raises:
        RunError: the model does not run on the probe's first sample.
    """
    runner = _Runner(loaded, threads)
    if probe is not None:
        samples = first_samples(probe)
        return _with_free_dims(runner, runner.table(samples, probe.batchable, probe.step, probe.fixed), samples[0])
    for samples in guessed_samples(loaded.graph.inputs):
        with suppress(RunError):
            return _with_free_dims(runner, runner.table(samples, True, 1), samples[0])
    return _inferred(loaded)


def _with_free_dims(runner: _Runner, table: ShapeTable, first: Feeds) -> ShapeTable:
    groups = free_axes(runner.loaded.graph.inputs, table)
    if not groups:
        return table
    with _ShapeRun(runner, table.free_inputs) as run:
        return with_free_dims(table, groups, first, lambda feeds: run(feeds)[0], runner.loaded.graph)


@dataclass(frozen=True, slots=True)
class _Runner:
    """Makes the runs behind one shape table."""

    loaded: LoadedModel
    threads: int | None

    def table(self, samples: Sequence[Feeds], batchable: bool, step: int, fixed: Collection[str] = ()) -> ShapeTable:
        """`samples` are the feeds of one or two samples of the same shapes; `fixed` inputs belong to both."""
        first = samples[0]
        with _ShapeRun(self, ()) as run:
            single, outputs = run(first)
            given = {n: a.shape for n, a in first.items()}
            shapes = _stored_shapes(self.loaded) | given | single
            alone = ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(None)), step, run.dtypes)
            if len(samples) < 2:
                return alone
            other, second = run(samples[1])
            if moved := changed_axes(alone, [other]):  # by what the samples hold, as they have the same shapes
                alone = replace(alone, dynamic=moved, resized=(given | other,))
            if not batchable:
                return alone
            pair = join(samples, step, fixed)
            free: tuple[str, ...] = ()
            both = self._together(run, pair)
            grown = both[0] if both is not None and _agree(both[1], outputs, second) else None
        if grown is None and both is not None:
            alone = replace(alone, mixed=self._mixed(alone, both[0], samples, pair))
        if grown is None:
            free = self._fixed_inputs(first, pair)
            if not free:
                return alone
            with suppress(RunError), _ShapeRun(self, free) as run:
                both = self._together(run, pair)
                grown = both[0] if both is not None and _agree(both[1], outputs, second) else None
        if grown is None:
            return alone
        grown |= {n: a.shape for n, a in pair.items()}
        return self._axes(alone, grown, samples, pair, free)

    def _together(self, run: _ShapeRun, pair: Feeds) -> tuple[dict[str, Shape], Feeds] | None:
        """Shapes and outputs for two samples in one feed; None where the model does not take them."""
        with suppress(RunError):
            return run(pair)
        return None

    def _mixed(
        self, alone: ShapeTable, grown: dict[str, Shape], samples: Sequence[Feeds], pair: Feeds
    ) -> frozenset[str]:
        """Values that differ when two samples share a feed, by more than rounding and chance, and what follows them.

        Told by the mean magnitude of each row; a value that grows in some other way than sample by sample is not told.
        """
        graph, extension = self.loaded.graph, Extension(self.loaded, share=True)
        extension.drop_outputs()
        coarse = QUANTISED_TOLERANCE if any(_quantises(node) for node in graph.nodes) else 0.0
        means: dict[str, tuple[str, SampleAxis]] = {}
        for name in sorted(set(graph.producer) & set(grown) - _lengths(graph)):
            axis = grown_axis(alone.shapes[name], grown[name])
            scale = coarse > 0 and axis is not None and axis.axis is None
            if axis is not None and not scale and alone.dtypes.get(name) in FLOATS:
                means[name] = _row_means(extension, name, len(alone.shapes[name]), axis, magnitude=True), axis
                extension.output(means[name][0])
        try:
            with Session(extension, threads=self.threads, few_runs=True) as session:
                together, (first, second, again) = session.run(pair), [session.run(f) for f in (*samples, samples[0])]
        except RunError:
            return frozenset()
        mixed: set[str] = set()
        for node in graph.nodes:
            names = [o for o in node.outputs if o]
            if node.op_type not in ("Shape", "Size") and mixed.intersection((*node.inputs, *node.captured)):
                mixed.update(names)
            for name in set(names) & set(means):
                mean, axis = means[name]
                tolerance = max(coarse, TOLERANCE.get(alone.dtypes[name], DEFAULT_TOLERANCE))
                rows = SampleAxis(None if axis.axis is None else 0, axis.rows)
                same = same_samples(together[mean], first[mean], second[mean], rows, tolerance)
                if not same and close(again[mean], first[mean], tolerance):
                    mixed.add(name)
        return frozenset(mixed)

    def _fixed_inputs(self, first: Feeds, pair: Feeds) -> tuple[str, ...]:
        """Inputs that grow with the samples although the model declares their first dim as a number.

        None where others are declared free: whoever runs the model may give it more of those alone.
        """
        declared = self.loaded.graph.inputs
        grown = [n for n, a in pair.items() if a.shape != first[n].shape]
        numbered = tuple(n for n in grown if isinstance((declared[n].shape or (None,))[0], int))
        return numbered if len(numbered) == len(grown) else ()

    def _axes(
        self,
        alone: ShapeTable,
        grown: dict[str, Shape],
        samples: Sequence[Feeds],
        pair: Feeds,
        free: tuple[str, ...],
    ) -> ShapeTable:
        axes = {n: grown_axis(s, grown.get(n, s)) for n, s in alone.shapes.items()}
        scrambled = {n for n, a in axes.items() if a is None}
        folded = {n: a for n, a in axes.items() if a is not None and a.rows > 1}
        if folded:
            scrambled |= self._not_sample_major(folded, alone, samples, pair, free)
        known = {n: SampleAxis(None) if a is None or n in scrambled else a for n, a in axes.items()}
        return replace(alone, sample_axes=known, batchable=True, free_inputs=free, scrambled=frozenset(scrambled))

    def _not_sample_major(
        self,
        folded: dict[str, SampleAxis],
        alone: ShapeTable,
        samples: Sequence[Feeds],
        pair: Feeds,
        free: tuple[str, ...],
    ) -> set[str]:
        """Values whose rows do not come first sample first; told by the mean of each row."""
        extension = Extension(self.loaded, share=True)
        extension.free_batch(free)
        extension.drop_outputs()
        means: dict[str, str] = {}
        for name, axis in folded.items():
            if name in pair or alone.dtypes.get(name) in (None, "object"):
                continue
            means[name] = _row_means(extension, name, len(alone.shapes[name]), axis)
            extension.output(means[name])
        suspects = set(folded) - set(means) - set(pair)
        try:
            with Session(extension, threads=self.threads, few_runs=True) as session:
                together = session.run(pair)
                apart = [session.run(f) for f in samples]
        except RunError:
            return set(folded) - set(pair)
        for name, mean in means.items():
            axis = SampleAxis(0, folded[name].rows)
            if not same_samples(together[mean], apart[0][mean], apart[1][mean], axis):
                suspects.add(name)
        return suspects


class _ShapeRun:
    """A session that shows the original outputs and the shape of every tensor value."""

    def __init__(self, runner: _Runner, free: Sequence[str]) -> None:
        self._runner = runner
        self._free = free
        self.dtypes = _element_types(runner, free)
        self._outputs = runner.loaded.graph.outputs
        self._shapes: dict[str, str] = {}
        self._session = self._open()

    def __enter__(self) -> _ShapeRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def __call__(self, feeds: Feeds) -> tuple[dict[str, Shape], Feeds]:
        """Shapes of all values for this feed, and the model's outputs."""
        results = self._session.run(feeds)
        shapes = {v: tuple(int(d) for d in results[s]) for v, s in self._shapes.items()}
        return shapes, {o: results[o] for o in self._outputs if isinstance(results[o], np.ndarray)}

    def _open(self) -> Session:
        graph = self._runner.loaded.graph
        values = [o for node in graph.nodes for o in node.outputs if self.dtypes.get(o) is not None]
        for _ in range(ATTEMPTS):
            extension = _extension(self._runner.loaded, self._free)
            self._shapes = {v: extension.add("Shape", [v]) for v in values}
            for name in self._shapes.values():
                extension.output(name)
            try:
                return Session(
                    extension,
                    threads=self._runner.threads,
                    optimization=Optimization.NONE,
                    few_runs=True,
                    eager=True,
                )
            except RunError as error:
                offender = next((v for v, s in self._shapes.items() if s == error.node), None)
                if offender is None:
                    raise
                values.remove(offender)
        raise RunError("onnxruntime cannot show the shapes of this model's values.")


def grown_axis(one: Shape, two: Shape) -> SampleAxis | None:
    """The axis along which a value doubled with the samples; axis None when nothing changed, None when unclear."""
    if one == two:
        return SampleAxis(None)
    if len(one) != len(two):
        return None
    changed = [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    if len(changed) != 1 or two[changed[0]] != 2 * one[changed[0]]:
        return None
    return SampleAxis(changed[0], one[changed[0]])


def same_samples(both: Array, first: Array, second: Array, axis: SampleAxis, tolerance: float | None = None) -> bool:
    """Whether `both` holds the two samples one after the other, up to the rounding of another batch size."""
    if axis.axis is None:
        return close(both, first, tolerance) and close(both, second, tolerance)
    head, tail = np.split(both, 2, axis=axis.axis)
    return close(head, first, tolerance) and close(tail, second, tolerance)


def close(a: Array, b: Array, tolerance: float | None = None) -> bool:
    """Equal up to rounding, relative to the largest entry; NaN equals NaN; other types than floats exactly."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fV" or not a.size:
        return bool(np.array_equal(a, b))
    if tolerance is None:
        tolerance = TOLERANCE.get(a.dtype.name, DEFAULT_TOLERANCE)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a64)
    scale = float(np.max(np.abs(a64), where=finite, initial=0.0))
    return bool(np.allclose(a64, b64, rtol=0.0, atol=tolerance * scale, equal_nan=True))


def _extension(loaded: LoadedModel, free: Sequence[str]) -> Extension:
    extension = Extension(loaded, share=True)
    if free:
        extension.free_batch(free)
    return extension


def _element_types(runner: _Runner, free: Sequence[str]) -> dict[str, str]:
    """Element type of every tensor value, as onnxruntime itself infers it; nothing is run."""
    extension = _extension(runner.loaded, free)
    graph = runner.loaded.graph
    extension.drop_outputs()
    for node in graph.nodes:
        for name in node.outputs:
            if name:
                extension.output(name)
    known = {n: t.dtype.name for n, t in graph.types.items() if t.dtype is not None}
    known |= {n: graph.initializer_dtype(n).name for n in graph.initializer_names}
    with Session(
        extension,
        threads=runner.threads,
        optimization=Optimization.NONE,
        few_runs=True,
    ) as session:
        return known | {n: t for n, t in session.output_types.items() if t is not None}


def _agree(both: Feeds, first: Feeds, second: Feeds) -> bool:
    """Whether every output of two samples in one feed shows both as they are on their own."""
    for name, array in both.items():
        axis = grown_axis(np.shape(first[name]), np.shape(array))
        if axis is None or not same_samples(array, first[name], second[name], axis):
            return False
    return True


def _quantises(node: Node) -> bool:
    return "Quantize" in node.op_type or "Integer" in node.op_type or node.op_type.startswith(("QLinear", "QGemm"))


def _lengths(graph: Graph) -> set[str]:
    """Values computed from stored tensors and lengths alone: they tell how many samples there are."""
    found: set[str] = set(graph.initializer_names)
    for node in graph.nodes:
        if node.op_type in ("Shape", "Size") or (node.inputs and found.issuperset(i for i in node.inputs if i)):
            found.update(node.outputs)
    return found


def _row_means(extension: Extension, value: str, rank: int, axis: SampleAxis, *, magnitude: bool = False) -> str:
    """Append nodes that average every row of the sample axis; returns a value of shape [samples * rows]."""
    value = extension.add("Cast", [value], to=int(onnx.TensorProto.FLOAT))
    if magnitude:
        value = extension.add("Abs", [value])
    if rank <= 1:
        return value
    axes = [i for i in range(rank) if i != axis.axis]
    if extension.opset >= 18:
        return extension.add("ReduceMean", [value, extension.constant(np.array(axes))], keepdims=0)
    return extension.add("ReduceMean", [value], axes=axes, keepdims=0)


def _stored_shapes(loaded: LoadedModel) -> dict[str, Shape]:
    return loaded.graph.defaults | {n: loaded.graph.initializer_shape(n) for n in loaded.graph.initializer_names}


def _inferred(loaded: LoadedModel) -> ShapeTable:
    """Static shapes by ONNX shape inference; the first dim of inputs counts as one sample."""
    proto = Extension(loaded).proto
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value") and value.name not in loaded.graph.defaults:
            dims[0].dim_value = 1
    with suppress(Exception):  # inference refuses what it does not know; knowing less is safe
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    shapes = _stored_shapes(loaded)
    for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes.setdefault(value.name, tuple(d.dim_value for d in tensor.shape.dim))
    dtypes = {n: t.dtype.name for n, t in loaded.graph.types.items() if t.dtype is not None}
    return ShapeTable(shapes, dict.fromkeys(shapes, SampleAxis(None)), dtypes=dtypes)
