"""A second pass over the probe, for suspects only: extremes, mean and deviation of what enters their activations.

Nothing is asked of single samples here, so each value is reduced to a few numbers per unit in the graph, and what is
picked out of small values is reduced together: every further node costs more time than there is to save.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.batch_size import BATCH_SIZE
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.open_branches import check_conditions, show_conditions
from analyzer.graph.reductions import reduce_axes
from analyzer.observe.elsewhere import fetchable, opened
from analyzer.observe.observation import Progress
from analyzer.observe.pooling import lengths_are_fixed
from analyzer.observe.statistics.statistic import WIDE
from analyzer.observe.steps import moved, over_steps
from analyzer.observe.targets import Target, targets_of
from analyzer.probes.probe import Probe
from analyzer.probes.sample_blocks import Batch
from analyzer.runtime.providers import CPU, Provider
from analyzer.shapes.batching import BatchPlan, plan_batches

PICKED = 0.5  # up to this share of a value's indices, picking them out is cheaper than reducing them all
WORTH_A_NODE = 64  # entries of a sample that are reduced in less time than it takes to add a node that picks others
TOGETHER = 1 << 15  # elements of a sample up to which what was picked out waits for more to be reduced with
NUMBERS = 5  # what a feed shows of a unit: maximum, minimum, mean; mean and sum of squares of the distance to that mean


def measure_spread(
    loaded: LoadedModel,
    probe: Probe,
    watched: Sequence[Watched],
    shapes: ShapeTable,
    *,
    batch_size: int = BATCH_SIZE,
    threads: int | None = None,
    progress: Progress | None = None,
    most: int | None = None,
    provider: Provider = CPU,
) -> dict[str, Spread]:
    """Run the probe again and measure the watched values; a value that the run cannot show is left out.

    `most`: only so many of its smallest feeds are run.

    Raises:
        RunError: the model fails on some feed.
        ProbeError: the probe is a generator that can be read only once.
    """
    plan = plan_batches(shapes, probe, batch_size)
    loaded, shapes, stacked = over_steps(loaded, shapes, [w.value for w in watched])
    within = {stack: name for name, stack in stacked.items()}
    targets = _targets(loaded, [moved(w, stacked, shapes) for w in watched], shapes, plan.batchable)
    if not targets:
        return {}
    if not provider.is_cpu:
        plan = fetchable(plan, targets)
    together = _together(targets, shapes, fixed=lengths_are_fixed(loaded.graph, shapes))
    gauge = _Gauge(loaded, together, plan, threads, provider)
    done = 0
    try:
        for batch in probe.batches(plan.size) if most is None else probe.first(most):
            gauge.add(batch)
            done += batch.samples
            if progress is not None:
                progress(done, probe.samples)
    finally:
        gauge.close()
    axes = {w.value: w.axis for w in watched}  # of what loops hold they moved, behind that of the steps
    seen = {within.get(value, value): spread for value, spread in gauge.spreads().items()}
    return {value: replace(spread, axis=axes.get(value, spread.axis)) for value, spread in seen.items()}


def _targets(loaded: LoadedModel, watched: Sequence[Watched], shapes: ShapeTable, batched: bool) -> list[Target]:
    """What is measured, with the indices that are worth picking out."""
    shown = {w.value: w for w in watched if _fits(w, shapes) and w.width}
    values = [AuditedValue(w.value, "", "", Kind.LINEAR, w.axis, w.length, w.rank) for w in shown.values()]
    targets, _ = targets_of(values, loaded.graph, shapes, batched)

    def narrowed(target: Target) -> Target:
        wanted = shown[target.audited.value]
        spared = (wanted.length - wanted.width) * target.places
        pays = wanted.width <= PICKED * wanted.length and spared > WORTH_A_NODE
        return replace(target, chosen=wanted.chosen) if pays else target

    return [narrowed(target) for target in targets]


def _fits(watched: Watched, shapes: ShapeTable) -> bool:
    shape = shapes.shapes.get(watched.value)
    dtype = shapes.dtypes.get(watched.value, "float32")
    fits = shape is not None and len(shape) == watched.rank and shape[watched.axis] == watched.length
    return fits and dtype.startswith(("float", "bfloat", "int", "uint"))


def _together(targets: Sequence[Target], shapes: ShapeTable, *, fixed: bool) -> list[list[Target]]:
    """Targets that are reduced together, whose other lengths are equal in every feed; `fixed`: none has others."""
    groups, last, sizes = list[list[Target]](), dict[Hashable, list[Target]](), dict[Hashable, int]()
    for target in targets:
        audited, size = target.audited, target.width * target.places
        others = (d for axis, d in enumerate(shapes.shapes[audited.value]) if axis != audited.axis)
        alike = audited.rank > 1 and (fixed or target.flat)
        key = (target.dtype, audited.axis, target.sample, *others) if alike else audited.value
        if key not in last or sizes[key] + size > TOGETHER:
            groups.append([])
            last[key], sizes[key] = groups[-1], 0
        last[key].append(target)
        sizes[key] += size
    return groups


class _Gauge:
    """A session that reduces groups of targets, and what all feeds so far showed of their units, side by side."""

    def __init__(
        self,
        loaded: LoadedModel,
        groups: Sequence[Sequence[Target]],
        plan: BatchPlan,
        threads: int | None,
        provider: Provider,
    ) -> None:
        self._loaded, self._targets = loaded, [target for group in groups for target in group]
        editor = Editor(loaded.copy())
        if plan.free_inputs:
            editor.free_batch(plan.free_inputs)
        editor.clear_outputs()
        parts = [_reduced(editor, group) for group in groups]
        self._numbers, self._sizes = (editor.add("Concat", names, axis=0) for names in zip(*parts, strict=True))
        editor.output(self._numbers, self._sizes)
        self._conditions = show_conditions(editor)
        editor.finish()
        self._session = opened(loaded, editor.loaded, provider, threads=threads, eager=True)
        self._widths = [sum(target.width for target in group) for group in groups]
        units = sum(self._widths)
        self._maximum, self._minimum = np.full(units, -np.inf), np.full(units, np.inf)
        self._count, self._mean, self._squares = np.zeros((3, units))

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def add(self, batch: Batch) -> None:
        """Count a feed, so that no digits are lost where numbers are large beside their spread."""
        results = self._session.run(batch.feeds)
        check_conditions(self._loaded, self._conditions, results)
        shown, sizes = results[self._numbers], results[self._sizes]
        if len(shown) != NUMBERS * len(self._mean):
            raise RunError("A feed shows other units than the first samples: give samples of one length.")
        rows = np.split(shown, np.cumsum(self._widths)[:-1] * NUMBERS)
        maximum, minimum, mean, off, squares = np.concatenate([row.reshape(NUMBERS, -1) for row in rows], axis=1)
        count = np.repeat(sizes // self._widths, self._widths)
        total = self._count + count
        beside = mean + off - self._mean
        self._maximum, self._minimum = np.maximum(self._maximum, maximum), np.minimum(self._minimum, minimum)
        self._squares += squares - count * off**2 + beside**2 * self._count * count / total
        self._mean += beside * count / total
        self._count = total

    def spreads(self) -> dict[str, Spread]:
        """What was seen, by value name; NaN for indices that were not picked out, and for deviations beyond numbers."""
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = np.sqrt(np.maximum(self._squares / self._count, 0.0))
        deviation[~np.isfinite(deviation)] = np.nan
        numbers = np.stack([self._maximum, self._minimum, self._mean, deviation])
        spreads, start = dict[str, Spread](), 0
        for target in self._targets:
            every = np.full((len(numbers), target.audited.units), np.nan)
            every[:, target.units - target.start] = numbers[:, start : start + target.width]
            spreads[target.audited.value] = Spread(every[0], every[1], every[2], every[3], target.audited.axis)
            start += target.width
        return spreads

    def close(self) -> None:
        """Free the session."""
        self._session.close()


def _reduced(editor: Editor, group: Sequence[Target]) -> tuple[str, str]:
    """Append what reduces a group to `NUMBERS` per unit [numbers * units], and the number of its elements [1]."""
    axis, rank = group[0].audited.axis, group[0].audited.rank
    picked = [_picked(editor, target) for target in group]
    if rank == 1:
        picked, axis, rank = [editor.add("Reshape", [picked[0], editor.constant(np.array([-1, 1]))])], 1, 2
    name = editor.add("Concat", picked, axis=axis) if len(picked) > 1 else picked[0]
    axes = [other for other in range(rank) if other != axis]

    def reduced(op_type: str, value: str) -> str:
        return reduce_axes(editor, op_type, value, axes, keep=True)

    extremes, mean = [reduced("ReduceMax", name), reduced("ReduceMin", name)], reduced("ReduceMean", name)
    off = editor.add("Sub", [name, mean])
    numbers = [*extremes, mean, reduced("ReduceMean", off), reduced("ReduceSumSquare", off)]
    flat = editor.add("Reshape", [editor.add("Concat", numbers, axis=axis), editor.constant(np.array([-1]))])
    size = editor.add("Reshape", [editor.add("Size", [name]), editor.constant(np.array([1]))])
    return editor.cast(flat, "float64"), size


def _picked(editor: Editor, target: Target) -> str:
    """What is wanted of a value, in a type that loses no digits."""
    name = target.audited.value
    if target.chosen is not None:
        name = editor.add("Gather", [name, editor.constant(np.array(target.chosen))], axis=target.audited.axis)
    wide = "float64" if target.dtype in WIDE else "float32"
    return name if target.dtype == wide else editor.cast(name, wide)
