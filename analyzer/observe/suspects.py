"""A second pass over the probe, for suspects only: extremes, mean and deviation of what enters their activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.facts.batch_size import BATCH_SIZE
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.flat_units import FlatUnits
from analyzer.observe.instrument import Instrument
from analyzer.observe.observation import Progress
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.moments import Squares, Sum
from analyzer.observe.statistics.statistic import Feed, Statistic
from analyzer.observe.steps import moved, over_steps
from analyzer.observe.targets import Target, targets_of
from analyzer.observe.unit_row import UnitRow
from analyzer.probes.probe import Probe
from analyzer.shapes.batching import plan_batches

PICKED = 0.5  # up to this share of a value's indices, picking them out is cheaper than reducing them all
_STATISTICS: tuple[type[Statistic], ...] = (Maximum, Minimum, Sum, Squares)


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
    row = UnitRow(targets)
    statistics, flat = [kind(row) for kind in _STATISTICS], FlatUnits(row)
    spread = [t for t in targets if not t.flat]
    wanted = {kind: targets if kind is Maximum else spread for kind in _STATISTICS}
    instrument = Instrument(loaded, wanted, plan, sizes=spread, threads=threads, steps=False)
    positions = np.ones(row.units, np.int64)
    done = 0
    try:
        for batch in probe.batches(plan.size) if most is None else probe.first(most):
            reading = instrument.run(batch.feeds, plan.counted(batch.samples))
            if (counted := reading.positions(spread)) is not None:
                positions[~row.flat] = counted
            feed, blocks = Feed(reading.samples, positions=positions), [*reading.blocks]
            for block in reading.blocks:
                blocks += flat.blocks(block, *_STATISTICS[1:]) if block.statistic is Maximum else ()
            for statistic in statistics:
                statistic.add([b for b in blocks if b.statistic is type(statistic)], feed)
            done += batch.samples
            if progress is not None:
                progress(done, probe.samples)
    finally:
        instrument.close()
    return {within.get(t.audited.value, t.audited.value): _spread(t, statistics) for t in targets}


def _targets(loaded: LoadedModel, watched: Sequence[Watched], shapes: ShapeTable, batched: bool) -> list[Target]:
    """What is measured, with the indices that are worth picking out."""
    shown = {w.value: w for w in watched if _fits(w, shapes) and w.width}
    values = [AuditedValue(w.value, "", "", Kind.LINEAR, w.axis, w.length, w.rank) for w in shown.values()]
    targets, _ = targets_of(values, loaded.graph, shapes, batched)

    def narrowed(target: Target) -> Target:
        wanted = shown[target.audited.value]
        return replace(target, chosen=wanted.chosen) if wanted.width <= PICKED * wanted.length else target

    return [narrowed(target) for target in targets]


def _fits(watched: Watched, shapes: ShapeTable) -> bool:
    shape = shapes.shapes.get(watched.value)
    dtype = shapes.dtypes.get(watched.value, "float32")
    fits = shape is not None and len(shape) == watched.rank and shape[watched.axis] == watched.length
    return fits and dtype.startswith(("float", "bfloat", "int", "uint"))


def _spread(target: Target, statistics: Sequence[Statistic]) -> Spread:
    """What was seen of one target; NaN for indices that were not picked out."""
    fields = {name: array for s in statistics for name, array in s.fields(target).items()}
    mean, squares = fields["mean"], fields["mean square"]
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = np.sqrt(np.maximum(squares - mean**2, 0.0))
    asked = np.isin(np.arange(target.audited.units), target.units - target.start)
    return Spread(*(np.where(asked, a, np.nan) for a in (fields["maximum"], fields["minimum"], mean, deviation)))
