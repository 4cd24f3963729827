"""One pass over the probe: what every unit of every audited value did."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from analyzer.errors import RunError
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.magnitudes import within
from analyzer.observe.nan_guards import Guards, guards
from analyzer.observe.tally import Tally, alarmed
from analyzer.observe.targets import Statistic, Target, elements, targets_of
from analyzer.probes.probe import Batch, Probe
from analyzer.shapes.batching import BATCH_SIZE, BatchPlan, plan_batches

FEW_FEEDS = 2  # so little data is run more quickly than a session is opened
WORTH = 0.75  # a new session is opened when at most this share of what suspects make it read is left
FIRST_LOOK = 1  # smallest feeds in the first one, which is looked at dearly: its extremes clear most units
LOOKS = (3, 17)  # feeds after which the minimum is narrowed further to the units that still need it

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen: statistics by value name, and how.

    `unseen` are audited values that the run could not show (no shape, or no axis for their units).
    """

    statistics: dict[str, UnitStatistics]
    samples: int
    batched: bool
    seconds: float
    unseen: tuple[str, ...] = ()

    def merge(self, other: Observation) -> Observation:
        """Both sets of samples together; both must be of the same audited values."""
        return Observation(
            statistics={v: s.merge(other.statistics[v]) for v, s in self.statistics.items()},
            samples=self.samples + other.samples,
            batched=self.batched and other.batched,
            seconds=self.seconds + other.seconds,
            unseen=self.unseen,
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
    targets, unseen = targets_of(audited, loaded.graph, shapes, plan.batchable)
    tally = Tally(targets, flat_gradient)
    full = statistics == "full"
    looks = _Looks(loaded, tally, shapes, plan, full, probe.samples, threads)
    try:
        for batch in probe.batches(plan.size, first=looks.first):
            looks.take(batch)
            if progress is not None:
                progress(tally.samples, probe.samples)
    finally:
        looks.close()
    seconds = time.perf_counter() - begin
    return Observation(tally.statistics(), tally.samples, plan.batchable, seconds, tuple(unseen))


class _Looks:
    """The sessions of one observation: a dear one, then cheaper ones; an exact one once something is not finite."""

    def __init__(
        self,
        loaded: LoadedModel,
        tally: Tally,
        shapes: ShapeTable,
        plan: BatchPlan,
        full: bool,
        samples: int | None,
        threads: int | None,
    ) -> None:
        self._open = partial(Instrument, loaded, plan=plan, threads=threads)
        self._tally = tally
        self._plan = plan
        self._full = full
        self._least = shapes.samples
        self._samples = samples
        self._exact = False
        self._steps = True  # until a feed of another length does not fit them
        self._layered = [t for t in tally.targets if not t.flat]
        self._suspects = self._layered
        # Full statistics show every NaN anyway.
        self._guards = Guards(()) if full else guards(loaded.graph, tally.targets, shapes)
        self._instrument: Instrument | None = None
        self._feeds = 0
        self.first = self._first()

    def take(self, batch: Batch) -> None:
        """Run one feed and count it."""
        if self._guards.beyond is not None and not within(batch.feeds):
            self.close()
            self._guards = Guards(self._guards.beyond)
        last = self._narrows()
        reading = self._run(batch, last)
        if not self._exact and alarmed(reading.blocks):
            self.close()
            self._exact, last = True, False
            self._guards, self._suspects = Guards(()), self._layered
            reading = self._run(batch, last)
        self._tally.add(reading)
        self._feeds += 1
        if last:
            self.close()
            self._suspects = self._tally.suspects()

    def close(self) -> None:
        """Free the session."""
        if self._instrument is not None:
            self._instrument.close()
        self._instrument = None

    def _first(self) -> int | None:
        """Samples of a first feed by itself; None where the first is like the others.

        It is small, since looking dearly takes more memory. Where so little data follows that opening a session takes
        longer than running the dear one to the end, the dear one stays.
        """
        size, first = self._plan.size, FIRST_LOOK * self._least
        follows = self._samples is None or self._samples > (1 + FEW_FEEDS) * size
        return first if self._plan.batchable and follows and first < size and not self._full else None

    def _narrows(self) -> bool:
        """Whether the next feed is the session's last: fewer units need their minimum than it computes.

        This is known before that feed, since memory that it gives back would cost the feed after it dearly.
        """
        if self._full or self._exact or not self._suspects:
            return False
        if not self._feeds:
            return self.first is not None
        if self._feeds + 1 not in LOOKS or self._nearly_done():
            return False
        return elements(self._tally.suspects()) < WORTH * elements(self._suspects)

    def _nearly_done(self) -> bool:
        return self._samples is not None and self._samples - self._tally.samples <= (1 + FEW_FEEDS) * self._plan.size

    def _run(self, batch: Batch, last: bool) -> Reading:
        if self._instrument is None:
            once = last and not self._feeds
            sizes = self._tally.targets if self._full else ()
            self._instrument = self._open(wanted=self._wanted(), sizes=sizes, steps=self._steps, once=once)
        try:
            return self._instrument.run(batch.feeds, batch.samples, last=last)
        except RunError:
            if not self._instrument.stepped:
                raise
        self.close()
        self._steps = False
        return self._run(batch, last)

    def _wanted(self) -> dict[Statistic, Sequence[Target]]:
        """Flat targets need nothing but their maximum: it is the value itself."""
        every: Sequence[Target] = self._tally.targets
        wanted: dict[Statistic, Sequence[Target]] = {
            Statistic.MAXIMUM: [t for t in every if self._needs_maximum(t)],
            Statistic.MINIMUM: self._suspects,
        }
        if self._full:
            wanted |= {Statistic.NONZERO: every, Statistic.ABSOLUTE: every}
        if self._exact:
            wanted[Statistic.DEFECT] = self._layered
        wanted[Statistic.MEAN] = self._guards.targets
        return {statistic: targets for statistic, targets in wanted.items() if targets}

    def _needs_maximum(self, target: Target) -> bool:
        """A linear value is done with once all its units were seen to vary: there is no firing to count."""
        return (
            self._exact
            or target.flat
            or target.audited.kind is not Kind.LINEAR
            or any(s.start == target.start for s in self._suspects)
        )
