"""A second pass over the probe, for suspects only: extremes, mean and deviation of what enters their activations.

Nothing is asked of single samples here, so each value is reduced to a few numbers per unit in the graph, and what is
picked out of small values is reduced together: every further node costs more time than there is to save.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.batch_size import BATCH_SIZE
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.statistics import Floats, Ints
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.open_branches import check_conditions, show_conditions
from analyzer.graph.part_of import part_of
from analyzer.graph.reductions import reduce_axes
from analyzer.observe.elsewhere import fetchable, opened
from analyzer.observe.observation import Progress
from analyzer.observe.pooling import lengths_are_fixed
from analyzer.observe.read_ahead import ReadAhead
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
    measuring = Measuring.of(loaded, probe, watched, shapes, batch_size=batch_size, cpu=provider.is_cpu)
    if not measuring.targets:
        return {}
    done, running = 0, _Running(measuring.width)
    with Gauge(measuring, threads, provider) as gauge:
        ahead = ReadAhead(probe.batches(measuring.plan.size) if most is None else probe.first(most))
        while group := ahead.first(gauge.fitting):
            for batch, shown in zip(group, gauge.shown_each(group), strict=True):
                running.add(shown)
                done += batch.samples
                if progress is not None:
                    progress(done, probe.samples)
            ahead.take(len(group))
    return measuring.spreads(running.numbers)


@dataclass(frozen=True, eq=False)
class Measuring:
    """What is measured of a model, in groups that are reduced together, and how it is fed.

    `axes` are those of all watched values, `within` the names of those that were carried out of loops.
    """

    loaded: LoadedModel
    groups: list[list[Target]]
    plan: BatchPlan
    axes: dict[str, int]
    within: dict[str, str]

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        probe: Probe,
        watched: Sequence[Watched],
        shapes: ShapeTable,
        *,
        batch_size: int,
        cpu: bool,
    ) -> Measuring:
        """Of the probe only how its samples may be fed is asked; `cpu`: it is the CPU that computes the model."""
        plan = plan_batches(shapes, probe, batch_size)
        loaded, shapes, stacked = over_steps(loaded, shapes, [w.value for w in watched])
        targets = _targets(loaded, [moved(w, stacked, shapes) for w in watched], shapes, plan.batchable)
        if targets and not cpu:
            plan = fetchable(plan, targets)
        groups = _together(targets, shapes, fixed=lengths_are_fixed(loaded.graph, shapes))
        return cls(loaded, groups, plan, {w.value: w.axis for w in watched}, {s: n for n, s in stacked.items()})

    @property
    def targets(self) -> list[Target]:
        """In the order in which they are measured, one behind the other."""
        return [target for group in self.groups for target in group]

    @property
    def width(self) -> int:
        """How many units are measured."""
        return sum(target.width for target in self.targets)

    def spreads(self, numbers: Floats) -> dict[str, Spread]:
        """Maxima, minima, means and deviations [4, width] by value; NaN for indices that were not picked out."""
        spreads, start = dict[str, Spread](), 0
        for target in self.targets:
            every = np.full((len(numbers), target.audited.units), np.nan)
            every[:, target.units - target.start] = numbers[:, start : start + target.width]
            start += target.width
            value = self.within.get(target.audited.value, target.audited.value)
            axis = self.axes.get(value, target.audited.axis)  # of what loops hold they moved, behind that of the steps
            spreads[value] = Spread(every[0], every[1], every[2], every[3], axis)
        return spreads


@dataclass(frozen=True, slots=True)
class Shown:
    """What a feed shows of each unit: extremes, mean, and the mean and the sum of squares of the distance to it."""

    count: Ints
    maximum: Floats
    minimum: Floats
    mean: Floats
    off: Floats
    squares: Floats


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


class Gauge:
    """A session that reduces groups of targets; a context manager, which frees it."""

    def __init__(self, measuring: Measuring, threads: int | None, provider: Provider) -> None:
        self._loaded, groups = measuring.loaded, measuring.groups
        editor = Editor(part_of(self._loaded, [t.audited.value for t in measuring.targets]))
        if measuring.plan.free_inputs:
            editor.free_batch(measuring.plan.free_inputs)
        parts = [_reduced(editor, group) for group in groups]
        self._numbers, self._sizes = (editor.add("Concat", names, axis=0) for names in zip(*parts, strict=True))
        editor.output(self._numbers, self._sizes)
        self._conditions = show_conditions(editor)
        editor.finish()
        self._session = opened(self._loaded, editor.loaded, provider, threads=threads, eager=True)
        self._widths = [sum(target.width for target in group) for group in groups]

    def __enter__(self) -> Gauge:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def shown(self, batch: Batch) -> Shown:
        """Run a feed.

        Raises:
            RunError: the model fails on it.
        """
        return self._shown(self._session.run(batch.feeds))

    def shown_each(self, batches: Sequence[Batch]) -> Iterator[Shown]:
        """The same of several feeds, which are run together, as far as that is best.

        Raises:
            RunError: the model fails on the next one.
        """
        results = None
        if len(batches) > 1 and self.fitting > 1:
            with suppress(RunError):  # of which feed it is tells running them one at a time
                results = self._session.run_each([batch.feeds for batch in batches])
        for place, batch in enumerate(batches):
            yield self.shown(batch) if results is None else self._shown(results[place])

    @property
    def fitting(self) -> int:
        """How many feeds are best run together."""
        return self._session.fitting

    def _shown(self, results: Mapping[str, Any]) -> Shown:
        check_conditions(self._loaded, self._conditions, results)
        shown, sizes = results[self._numbers], results[self._sizes]
        if len(shown) != NUMBERS * sum(self._widths):
            raise RunError("A feed shows other units than the first samples: give samples of one length.")
        rows = np.split(shown, np.cumsum(self._widths)[:-1] * NUMBERS)
        numbers = np.concatenate([row.reshape(NUMBERS, -1) for row in rows], axis=1)
        return Shown(np.repeat(sizes // self._widths, self._widths), *numbers)


class _Running:
    """What all feeds so far showed; no digits are lost where numbers are large beside their spread."""

    def __init__(self, units: int) -> None:
        self._maximum, self._minimum = np.full(units, -np.inf), np.full(units, np.inf)
        self._count, self._mean, self._squares = np.zeros((3, units))

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def add(self, shown: Shown) -> None:
        """Count a feed."""
        total = self._count + shown.count
        beside = shown.mean + shown.off - self._mean
        self._maximum = np.maximum(self._maximum, shown.maximum)
        self._minimum = np.minimum(self._minimum, shown.minimum)
        self._squares += shown.squares - shown.count * shown.off**2 + beside**2 * self._count * shown.count / total
        self._mean += beside * shown.count / total
        self._count = total

    @property
    def numbers(self) -> Floats:
        """Maxima, minima, means and deviations; NaN for deviations beyond numbers."""
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = np.sqrt(np.maximum(self._squares / self._count, 0.0))
        deviation[~np.isfinite(deviation)] = np.nan
        return np.stack([self._maximum, self._minimum, self._mean, deviation])


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
