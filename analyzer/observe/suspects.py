"""A second pass over the probe, for suspects only: extremes, mean and deviation of what enters their activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from analyzer.facts.spread import Spread, Watched
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Extension, LoadedModel
from analyzer.observe.reducers import reduce_axes
from analyzer.probes.probe import Probe
from analyzer.runtime.session import Session
from analyzer.shapes.batching import BATCH_SIZE, plan_batches

Array = np.ndarray[Any, np.dtype[Any]]

FEW = 0.5  # up to this share of a value's indices, picking them out is cheaper than reducing them all
_REDUCTIONS = ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceSum")  # of x, x, x and x squared


def measure_spread(
    loaded: LoadedModel,
    probe: Probe,
    watched: Sequence[Watched],
    shapes: ShapeTable,
    *,
    batch_size: int = BATCH_SIZE,
    threads: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Spread]:
    """Run the probe again and measure the watched values; a value that the run cannot show is left out.

    Everything is reduced in the graph, in double precision, to four numbers per index and feed.

    Raises:
        RunError: the model fails on some feed.
        ProbeError: the probe is a generator that can be read only once.
    """
    shown = [_worth_picking(w) for w in watched if _fits(w, shapes) and w.width]
    if not shown:
        return {}
    plan = plan_batches(shapes, probe, batch_size)
    extension = Extension(loaded, share=True)
    if plan.free_inputs:
        extension.free_batch(plan.free_inputs)
    extension.drop_outputs()
    names = _reducers(extension, shown, shapes)
    for name in names:
        extension.output(name)
    tally, done = _Tally(shown), 0
    with Session(extension, threads=threads) as session:
        for batch in probe.batches(plan.size):
            results = session.run(batch.feeds)
            tally.add([results[name] for name in names])
            done += batch.samples
            if progress is not None:
                progress(done, probe.samples)
    return tally.spreads()


def _fits(watched: Watched, shapes: ShapeTable) -> bool:
    shape = shapes.shapes.get(watched.value)
    dtype = shapes.dtypes.get(watched.value, "float32")
    fits = shape is not None and len(shape) == watched.rank and shape[watched.axis] == watched.length
    return fits and dtype.startswith(("float", "bfloat", "int", "uint"))


def _worth_picking(watched: Watched) -> Watched:
    return watched if watched.width <= FEW * watched.length else replace(watched, chosen=None)


def _reducers(extension: Extension, watched: Sequence[Watched], shapes: ShapeTable) -> list[str]:
    """Five outputs: the four reductions of all values side by side, and the number of elements of each value."""
    columns: list[list[str]] = [[] for _ in _REDUCTIONS]
    sizes = []
    for one in watched:
        name = one.value
        if one.chosen is not None:
            picks = extension.constant(np.array(one.chosen, np.int64))
            name = extension.add("Gather", [name, picks], axis=one.axis)
        wide = extension.add("Cast", [name], to=int(onnx.TensorProto.DOUBLE))
        samples = shapes.sample_axes.get(one.value, SampleAxis(None)).axis
        single = samples == one.axis  # one number for each sample
        others = [a for a in range(one.rank) if a != one.axis or single]
        squared = extension.add("Mul", [wide, wide])
        for column, reduction, name in zip(columns, _REDUCTIONS, (wide, wide, wide, squared), strict=True):
            column.append(reduce_axes(extension, reduction, name, others, keep=single) if others else name)
        sizes.append(extension.add("Reshape", [extension.add("Size", [wide]), extension.constant(np.array([1]))]))
    return [extension.add("Concat", names, axis=0) for names in (*columns, sizes)]


class _Tally:
    """Adds up the feeds."""

    def __init__(self, watched: Sequence[Watched]) -> None:
        self._watched = watched
        self._lengths = np.array([w.width for w in watched])
        units = int(self._lengths.sum())
        self._maximum, self._minimum = np.full(units, -np.inf), np.full(units, np.inf)
        self._sum, self._squares, self._count = np.zeros(units), np.zeros(units), np.zeros(units)

    def add(self, results: Sequence[Array]) -> None:
        """Count one feed."""
        highest, lowest, total, squares, sizes = (np.asarray(r, np.float64) for r in results)
        self._maximum, self._minimum = np.maximum(self._maximum, highest), np.minimum(self._minimum, lowest)
        with np.errstate(invalid="ignore", over="ignore"):
            self._sum, self._squares = self._sum + total, self._squares + squares
        self._count = self._count + np.repeat(sizes / self._lengths, self._lengths)

    def spreads(self) -> dict[str, Spread]:
        """What was seen, by value name."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            mean = self._sum / self._count
            deviation = np.sqrt(np.maximum(self._squares / self._count - mean**2, 0.0))
        found: Mapping[str, Array] = {
            "maximum": self._maximum,
            "minimum": self._minimum,
            "mean": mean,
            "deviation": deviation,
        }
        stops = np.cumsum(self._lengths).tolist()
        return {
            w.value: Spread(**{name: _placed(w, array[stop - w.width : stop]) for name, array in found.items()})
            for w, stop in zip(self._watched, stops, strict=True)
        }


def _placed(watched: Watched, numbers: Array) -> Array:
    """The numbers of the chosen indices among all, NaN elsewhere."""
    if watched.chosen is None:
        return numbers
    every = np.full(watched.length, np.nan)
    every[list(watched.chosen)] = numbers
    return every
