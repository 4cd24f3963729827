"""Blocks of samples observed in any order, on any machine: what each gives depends on nothing but its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.facts.statistics import UnitStatistics
from analyzer.observe.exact_spread import ExactSpread
from analyzer.observe.in_turn import InTurn
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.looks import Look
from analyzer.observe.observation import Observation, Subject
from analyzer.observe.output_differences import ComparedBlocks
from analyzer.observe.read_ahead import MOST_BYTES, bytes_of
from analyzer.observe.tally import Tally
from analyzer.probes.sample_blocks import Batch, Block
from analyzer.runtime.providers import CPU, Provider


@dataclass(frozen=True, eq=False)
class Counted:
    """What samples showed: a commutative monoid.

    `peaks` [halves, 2] are extremes of values of half precision (None: no feed showed any). `assigned`: nodes that
    another provider than the CPU computed, and nodes in all. `spread`: of what a second pass asked for, `compared`: of
    a model and the smaller one that was made of it.
    """

    statistics: dict[str, UnitStatistics]
    samples: int
    peaks: Array | None = None
    assigned: tuple[int, int] | None = None
    spread: ExactSpread | None = None
    compared: ComparedBlocks | None = None

    def merge(self, other: Counted) -> Counted:
        """Both together, of different samples of one job."""
        shown = [p for p in (self.peaks, other.peaks) if p is not None]
        spreads = [s for s in (self.spread, other.spread) if s is not None]
        compared = [c for c in (self.compared, other.compared) if c is not None]
        return Counted(
            statistics={value: seen.merge(other.statistics[value]) for value, seen in self.statistics.items()},
            samples=self.samples + other.samples,
            peaks=np.maximum.reduce(shown) if shown else None,
            assigned=max(filter(None, (self.assigned, other.assigned)), default=None),
            spread=reduce(ExactSpread.merge, spreads) if spreads else None,
            compared=reduce(ComparedBlocks.merge, compared) if compared else None,
        )

    def observation(self, subject: Subject, seconds: float) -> Observation:
        """What they show of the model, as a pass over the same samples would."""
        return subject.observation(self.statistics, self.samples, self.peaks, seconds=seconds, assigned=self.assigned)


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything that an observer needs but the samples; it can be sent to another process."""

    subject: Subject
    flat_gradient: float
    threads: int | None
    provider: Provider = CPU

    @property
    def nothing(self) -> Counted:
        """What no samples show."""
        return Counted(self.subject.seen(Tally(self.subject.targets, self.flat_gradient)), 0)

    def observer(self) -> BlockObserver:
        """Who takes blocks, in this process."""
        return BlockObserver(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A feed that was taken, and how it is looked at."""

    kind: str
    look: Look
    batch: Batch


class BlockObserver(InTurn):
    """Statistics of all units over the blocks that it takes; a context manager, which frees its sessions.

    A pass over all data at once looks at less and less, and at everything again once something is not finite. Here
    every feed is looked at in the same way, so that statistics of parts of the data merge into those of all, to the
    bit: onnxruntime fuses operators in one session that it does not in another.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._subject = setup, setup.subject
        self._look = self._subject.first_look(small=False)
        self._opened: dict[str, Instrument] = {}
        self._steps = True  # until a feed of another length does not fit them
        self._assigned: tuple[int, int] | None = None
        self.restart()

    def restart(self) -> None:
        """Forget what was counted; sessions stay open."""
        self._waiting: list[_Waiting] = []
        self._tally = Tally(self._subject.targets, self._setup.flat_gradient)
        self._peaks: Array | None = None

    def counted(self) -> Counted:
        """What was seen so far.

        Raises:
            RunError: as for `take`.
        """
        try:
            self._run_waiting(all_of_it=True)
        except RunError as error:
            raise self._subject.failure(error) from error
        return Counted(self._subject.seen(self._tally), self._tally.samples, self._peaks, self._assigned)

    def take(self, block: Block) -> None:
        """Run the feeds of a block and count them; they wait for more where several are best run together.

        Raises:
            RunError: the model fails on one, or memory runs out; those before it are counted.
        """
        for batch in block.batches:
            look = self._look.suited_to(batch.feeds)
            counted = replace(batch, samples=self._subject.plan.counted(batch.samples))
            self._waiting.append(_Waiting("usual" if look is self._look else "large numbers", look, counted))
        try:
            self._run_waiting(all_of_it=False)
        except RunError as error:
            raise self._subject.failure(error) from error

    def _run_waiting(self, *, all_of_it: bool) -> None:
        """Run what waits, those feeds together that are looked at in the same way; else only if these are enough."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        fitting = self._instrument(waiting[0].kind, waiting[0].look).fitting
        if not all_of_it and len(waiting) < fitting and bytes_of(w.batch for w in waiting) < MOST_BYTES:
            self._waiting = waiting
            return
        for (kind, look), group in groupby(waiting, lambda w: (w.kind, w.look)):
            batches = [w.batch for w in group]
            for start in range(0, len(batches), fitting):
                self._count(kind, look, batches[start : start + fitting])

    def _count(self, kind: str, look: Look, batches: Sequence[Batch]) -> None:
        together = self._instrument(kind, look).run_each(batches) if len(batches) > 1 else None
        for batch in batches:
            reading = None
            if together is not None:
                try:
                    reading = next(together)
                except RunError:  # of which feed it is tells running them one at a time
                    together = None
            reading = self._run(kind, look, batch) if reading is None else reading
            if reading.alarmed:
                reading = self._run("not finite", look.alarmed(), batch)
            self._tally.add(reading)
            if reading.peaks is not None:
                self._peaks = reading.peaks if self._peaks is None else np.maximum(self._peaks, reading.peaks)

    def _run(self, kind: str, look: Look, batch: Batch) -> Reading:
        """What a feed shows; there is one session for each kind of feed, as long as they go on."""
        instrument = self._instrument(kind, look)
        try:
            return instrument.run(batch.feeds, batch.samples)
        except RunError:
            if not instrument.stepped:
                raise
        self._close()
        self._steps = False
        return self._run(kind, look, batch)

    def _instrument(self, kind: str, look: Look) -> Instrument:
        if kind not in self._opened:
            self._opened[kind] = self._subject.instrument(
                look, threads=self._setup.threads, provider=self._setup.provider, steps=self._steps
            )
            self._assigned = self._assigned or self._opened[kind].assigned
        return self._opened[kind]

    def _close(self) -> None:
        for instrument in self._opened.values():
            instrument.close()
        self._opened.clear()
