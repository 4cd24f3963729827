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
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.elsewhere import fetchable
from analyzer.observe.halves import half_overflows, half_values, rectified_halves
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.looks import Course, Firing, Full, Look, first_look
from analyzer.observe.read_ahead import ReadAhead
from analyzer.observe.steps import moved, over_steps
from analyzer.observe.tally import Tally
from analyzer.observe.targets import Target, targets_of
from analyzer.probes.probe import Probe
from analyzer.probes.sample_blocks import Batch
from analyzer.runtime.providers import CPU, Provider
from analyzer.shapes.batching import BatchPlan, plan_batches

Progress = Callable[[int, int | None], None]
_DEFAULT = Thresholds()


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


@dataclass(frozen=True)
class Subject:
    """What is observed of a model, and how it is fed; `outer` names the values of loops as they are carried out.

    `cpu`: it is the CPU that computes the model.
    """

    loaded: LoadedModel
    shapes: ShapeTable
    plan: BatchPlan
    targets: list[Target]
    unseen: tuple[str, ...]
    outer: dict[str, str]
    halves: list[str]
    cpu: bool

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        probe: Probe,
        audited: Sequence[AuditedValue],
        shapes: ShapeTable,
        batch_size: int,
        *,
        cpu: bool = True,
    ) -> Subject:
        """All units of these values; of the probe only how its samples may be fed is asked."""
        names = [a.value for a in audited]
        plan = plan_batches(shapes, probe, batch_size, names)
        loaded, shapes, outer = over_steps(loaded, shapes, names)
        targets, unseen = targets_of([moved(a, outer, shapes) for a in audited], loaded.graph, shapes, plan.batchable)
        if not cpu:
            plan = fetchable(plan, targets)
        halves = half_values(loaded.graph, shapes, rectified_halves([t.audited for t in targets]))
        subject = cls(loaded, shapes, plan, targets, (), outer, halves, cpu)
        return replace(subject, unseen=tuple(subject.inner.get(name, name) for name in unseen))

    @property
    def inner(self) -> dict[str, str]:
        """The names that values which are carried out of loops have there."""
        return {outer: name for name, outer in self.outer.items()}

    def first_look(self, *, small: bool, settled: tuple[Thresholds, int, int] | None = None) -> Firing:
        """The look that an observation begins with; how others than the CPU carry a NaN is not known."""
        graph = self.loaded.graph
        return first_look(graph, self.shapes, self.targets, small=small, carried=self.cpu, settled=settled)

    def instrument(
        self, look: Look, *, threads: int | None, provider: Provider, steps: bool = True, once: bool = False
    ) -> Instrument:
        """A session that computes what a look wants."""
        return Instrument(
            self.loaded,
            look.wanted(),
            self.plan,
            sizes=look.sized(),
            values=self.halves,
            threads=threads,
            steps=steps,
            once=once,
            provider=provider,
        )

    def seen(self, tally: Tally) -> dict[str, UnitStatistics]:
        """The statistics by the names that the values have in the model."""
        return {self.inner.get(name, name): statistics for name, statistics in tally.statistics().items()}

    def observation(
        self,
        statistics: dict[str, UnitStatistics],
        samples: int,
        peaks: Array | None,
        *,
        seconds: float,
        assigned: tuple[int, int] | None,
    ) -> Observation:
        """What statistics of all values say; `peaks` are those of `halves`."""
        rectified = rectified_halves([t.audited for t in self.targets])
        shown = {name: statistics[self.inner.get(name, name)] for name in rectified}
        overflows = half_overflows(self.loaded.graph, self.halves, peaks, shown)
        batched = self.plan.batchable
        return Observation(statistics, samples, batched, seconds, self.unseen, tuple(overflows), assigned)

    def failure(self, error: RunError) -> RunError:
        """Of a feed that does not run: whether it may run with loops left as they are."""
        if self.loaded.steps and not isinstance(error, OtherBranch) and error.kind is not RunFailure.MEMORY:
            return OtherBranch(frozenset(chain(*self.loaded.steps.values())))
        return error


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
    thresholds: Thresholds = _DEFAULT,
    full_samples: int | None = None,
    provider: Provider = CPU,
) -> Observation:
    """Run the probe once and collect the statistics of all units of `audited`.

    `statistics`: "firing" counts samples, extremes and constancy; "full" adds exact minima of all units, zero
    positions and sums of |output|. After the first `full_samples` (None: never) layers of which no verdict, by
    `thresholds`, can change any more are not looked at, where it is known how many samples there are; their statistics
    are of the samples that were counted. `progress` is called with (samples done, samples in all or None).

    Raises:
        RunError: the model fails on some feed, or memory runs out.
        ProbeError: the data does not fit the model.
    """
    begin = time.perf_counter()
    subject = Subject.of(loaded, probe, audited, shapes, batch_size, cpu=provider.is_cpu)
    plan = subject.plan
    first = None if statistics == "full" else _first_samples(plan, shapes.samples, probe.samples)
    settled = None
    if full_samples is not None and probe.samples is not None and not thresholds.needs_positions:
        settled = thresholds, plan.counted(probe.samples), full_samples
    look = (
        Full(subject.targets) if statistics == "full" else subject.first_look(small=first is not None, settled=settled)
    )
    tally = Tally(subject.targets, thresholds.flat_gradient)
    sessions = _Sessions(subject, look, tally, threads, provider, probe.samples)
    done = 0
    try:
        ahead = ReadAhead(probe.batches(plan.size, first=first))
        while taken := sessions.take(ahead):
            for batch in taken:
                done += batch.samples
                if progress is not None:
                    progress(done, probe.samples)
    finally:
        sessions.close()
    seen = subject.seen(tally)
    return subject.observation(
        seen, tally.samples, sessions.peaks, seconds=time.perf_counter() - begin, assigned=sessions.assigned
    )


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
        self,
        subject: Subject,
        look: Look,
        tally: Tally,
        threads: int | None,
        provider: Provider,
        samples: int | None,
    ) -> None:
        plan = subject.plan
        self._open, self._look, self._tally = (
            partial(subject.instrument, threads=threads, provider=provider),
            look,
            tally,
        )
        self._subject, self._counted = subject, plan.counted
        self._size, self._samples = plan.counted(plan.size), None if samples is None else plan.counted(samples)
        self._steps = True  # until a feed of another length does not fit them
        self._feeds = 0
        self._alone = 0  # so many of the next feeds are run one at a time
        self._instrument: Instrument | None = None
        self.peaks: Array | None = None  # of values of half precision
        self.assigned: tuple[int, int] | None = None  # of the first session, which shows the most

    def take(self, ahead: ReadAhead) -> list[Batch]:
        """Run what comes next, and count it; returns that, which is nothing at the end.

        Several feeds are run together where parts of the model are opened for each run: those that are looked at in the
        same way, whatever they show.

        Raises:
            RunError: the model fails on the first one.
            ProbeError: it cannot be read.
        """
        if not (first := ahead.first(1)):
            return []
        try:
            self._turn_to(self._look.suited_to(first[0].feeds))
            group = self._group(ahead)
            count = self._take_together(group) if len(group) > 1 else 0
            if not count:
                self._take(group[0])
        except RunError as error:
            raise self._subject.failure(error) from error
        ahead.take(count or 1)
        return group[: count or 1]

    def _group(self, ahead: ReadAhead) -> list[Batch]:
        """The next feeds that this look is sure to be for; it may end with the last of them."""
        course, samples = self._course, self._tally.samples
        if self._alone or self._look.may_end(course, samples):
            self._alone = max(0, self._alone - 1)
            return ahead.first(1)
        group = list[Batch]()
        for batch in ahead.first(self._opened().fitting):
            if self._look.suited_to(batch.feeds) is not self._look:
                break
            group.append(batch)
            if self._look.may_end(course, samples):
                break
            counted = self._counted(batch.samples)
            samples += counted
            left = None if course.left is None else course.left - counted
            course = replace(course, feeds=course.feeds + 1, left=left)
        return group

    def _take_together(self, group: Sequence[Batch]) -> int:
        """Run feeds together and count them in their order; returns how many were.

        Fewer are where one fails, which is run by itself in its turn, and where one asks for another look.
        """
        readings = self._opened().run_each([self._as_counted(batch) for batch in group])
        for place in range(len(group)):
            try:
                reading = next(readings)
            except RunError:
                self._alone = len(group) - place
                return place
            if reading.alarmed and self._look.alarmed() is not self._look:
                self._turn_to(self._look.alarmed())
                return place
            last = place + 1 == len(group) and self._look.ends(self._course, self._tally)
            self._count(reading, last)
        return len(group)

    def _take(self, batch: Batch) -> None:
        """Run one feed and count it."""
        batch = self._as_counted(batch)
        last = self._look.ends(self._course, self._tally)
        reading = self._run(batch, last)
        if reading.alarmed and self._look.alarmed() is not self._look:
            self._turn_to(self._look.alarmed())
            last = False
            reading = self._run(batch, last)
        self._count(reading, last)

    def _count(self, reading: Reading, last: bool) -> None:
        self._tally.add(reading, self._look.counted)
        if reading.peaks is not None:
            self.peaks = reading.peaks if self.peaks is None else np.maximum(self.peaks, reading.peaks)
        self._feeds += 1
        if last:
            self._turn_to(self._look.after(self._tally))

    def _as_counted(self, batch: Batch) -> Batch:
        return replace(batch, samples=self._counted(batch.samples))

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

    def _opened(self, *, once: bool = False) -> Instrument:
        """The session of this look; `once`: it is meant for one feed."""
        if self._instrument is None:
            self._instrument = self._open(self._look, steps=self._steps, once=once)
            self.assigned = self.assigned or self._instrument.assigned
        return self._instrument

    def _run(self, batch: Batch, last: bool) -> Reading:
        instrument = self._opened(once=last and not self._feeds)
        try:
            return instrument.run(batch.feeds, batch.samples, last=last)
        except RunError:
            if not instrument.stepped:
                raise
        self.close()
        self._steps = False
        return self._run(batch, last)
