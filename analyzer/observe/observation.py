"""One pass over the probe: what every unit of every audited value did."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import OtherBranch, RunError, RunFailure
from analyzer.facts.audit import HalfOverflow
from analyzer.facts.batch_size import BATCH_SIZE
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.elsewhere import fetchable
from analyzer.observe.halves import half_overflows, half_values, rectified_halves
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.looks import Course, Full, Look, first_look
from analyzer.observe.steps import moved, over_steps
from analyzer.observe.tally import Tally
from analyzer.observe.targets import targets_of
from analyzer.probes.probe import Batch, Probe
from analyzer.runtime.providers import CPU, Provider
from analyzer.shapes.batching import BatchPlan, plan_batches

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen: statistics by value name, and how.

    Samples that share every feed and may influence each other count as one. `unseen` are audited values that the run
    could not show (no shape, or no axis for their units). `assigned`: nodes that another provider than the CPU
    computed, and nodes in all, where that is known.
    """

    statistics: dict[str, UnitStatistics]
    samples: int
    batched: bool
    seconds: float
    unseen: tuple[str, ...] = ()
    overflows: tuple[HalfOverflow, ...] = ()
    assigned: tuple[int, int] | None = None

    def merge(self, other: Observation) -> Observation:
        """Both sets of samples together; both must be of the same audited values."""
        return Observation(
            statistics={v: s.merge(other.statistics[v]) for v, s in self.statistics.items()},
            samples=self.samples + other.samples,
            batched=self.batched and other.batched,
            seconds=self.seconds + other.seconds,
            unseen=self.unseen,
            overflows=tuple({o.value: o for o in (*self.overflows, *other.overflows)}.values()),
        )


def observe(
    loaded: LoadedModel,
    probe: Probe,
    audited: Sequence[AuditedValue],
    shapes: ShapeTable,
    *,
    batch_size: int = BATCH_SIZE,
    statistics: str = "firing",
    threads: int | None = None,
    progress: Progress | None = None,
    flat_gradient: float = 1e-3,
    provider: Provider = CPU,
) -> Observation:
    """Run the probe once and collect the statistics of all units of `audited`.

    `statistics`: "firing" counts samples, extremes and constancy; "full" adds exact minima of all units, zero
    positions and sums of |output|. `progress` is called with (samples done, samples in all or None).

    Raises:
        RunError: the model fails on some feed, or memory runs out.
        ProbeError: the data does not fit the model.
    """
    begin = time.perf_counter()
    plan = plan_batches(shapes, probe, batch_size, [a.value for a in audited])
    loaded, shapes, stacked = over_steps(loaded, shapes, [a.value for a in audited])
    audited = [moved(a, stacked, shapes) for a in audited]
    within = {stack: name for name, stack in stacked.items()}
    targets, unseen = targets_of(audited, loaded.graph, shapes, plan.batchable)
    if not provider.is_cpu:
        plan = fetchable(plan, targets)
    first = None if statistics == "full" else _first_samples(plan, shapes.samples, probe.samples)
    if statistics == "full":
        look: Look = Full(targets)
    else:
        carried = provider.is_cpu  # how others carry a NaN through their kernels is not known
        look = first_look(loaded.graph, shapes, targets, small=first is not None, carried=carried)
    tally = Tally(targets, flat_gradient)
    rectified = rectified_halves([t.audited for t in targets])
    halves = half_values(loaded.graph, shapes, rectified)
    opened = partial(Instrument, loaded, plan=plan, values=halves, threads=threads, provider=provider)
    sessions = _Sessions(opened, look, tally, plan, probe.samples)
    done = 0
    try:
        for batch in probe.batches(plan.size, first=first):
            try:
                sessions.take(replace(batch, samples=plan.counted(batch.samples)))
            except RunError as error:
                if loaded.steps and not isinstance(error, OtherBranch) and error.kind is not RunFailure.MEMORY:
                    raise OtherBranch(frozenset(chain(*loaded.steps.values()))) from error  # does it run without?
                raise
            done += batch.samples
            if progress is not None:
                progress(done, probe.samples)
    finally:
        sessions.close()
    seconds = time.perf_counter() - begin
    seen = {within.get(name, name): found for name, found in tally.statistics().items()}
    unseen = [within.get(name, name) for name in unseen]
    overflows = half_overflows(loaded.graph, halves, sessions.peaks, {n: seen[within.get(n, n)] for n in rectified})
    return Observation(seen, tally.samples, plan.batchable, seconds, tuple(unseen), tuple(overflows), sessions.assigned)


def _first_samples(plan: BatchPlan, least: int, samples: int | None) -> int | None:
    """Samples of a first feed by itself; None where the first is like the others.

    It is small, since looking at much takes more memory. Where so little data follows that opening a session takes
    longer than running the first one to the end, that one stays.
    """
    follows = not Course(0, samples, plan.size).nearly_done
    return least if plan.batchable and follows and least < plan.size else None


class _Sessions:
    """The sessions of one observation, one look after the other."""

    def __init__(
        self, opened: Callable[..., Instrument], look: Look, tally: Tally, plan: BatchPlan, samples: int | None
    ) -> None:
        self._open, self._look, self._tally = opened, look, tally
        self._size, self._samples = plan.counted(plan.size), None if samples is None else plan.counted(samples)
        self._steps = True  # until a feed of another length does not fit them
        self._feeds = 0
        self._instrument: Instrument | None = None
        self.peaks: Array | None = None  # of values of half precision
        self.assigned: tuple[int, int] | None = None  # of the first session, which shows the most

    def take(self, batch: Batch) -> None:
        """Run one feed and count it."""
        self._turn_to(self._look.suited_to(batch.feeds))
        last = self._look.ends(self._course, self._tally)
        reading = self._run(batch, last)
        if reading.alarmed and self._look.alarmed() is not self._look:
            self._turn_to(self._look.alarmed())
            last = False
            reading = self._run(batch, last)
        self._tally.add(reading)
        if reading.peaks is not None:
            self.peaks = reading.peaks if self.peaks is None else np.maximum(self.peaks, reading.peaks)
        self._feeds += 1
        if last:
            self._turn_to(self._look.after(self._tally))

    def close(self) -> None:
        """Free the session."""
        if self._instrument is not None:
            self._instrument.close()
        self._instrument = None

    def _turn_to(self, look: Look) -> None:
        if look is not self._look:
            self.close()
            self._look = look

    @property
    def _course(self) -> Course:
        left = None if self._samples is None else self._samples - self._tally.samples
        return Course(self._feeds, left, self._size)

    def _run(self, batch: Batch, last: bool) -> Reading:
        if self._instrument is None:
            look, once = self._look, last and not self._feeds
            self._instrument = self._open(wanted=look.wanted(), sizes=look.sized(), steps=self._steps, once=once)
            self.assigned = self.assigned or self._instrument.assigned
        try:
            return self._instrument.run(batch.feeds, batch.samples, last=last)
        except RunError:
            if not self._instrument.stepped:
                raise
        self.close()
        self._steps = False
        return self._run(batch, last)
