"""Blocks of samples observed in any order, on any machine: what each gives depends on nothing but its samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import RunError
from analyzer.facts.statistics import UnitStatistics
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.looks import Look
from analyzer.observe.observation import Subject
from analyzer.observe.tally import Tally
from analyzer.probes.sample_blocks import Batch, Block
from analyzer.runtime.providers import CPU, Provider


class BlockObserver:
    """Statistics of all units over the blocks that it takes; a context manager, which frees its sessions.

    A pass over all data at once looks at less and less, and at everything again once something is not finite. Here
    every feed is looked at in the same way, so that statistics of parts of the data merge into those of all, to the
    bit: onnxruntime fuses operators in one session that it does not in another.
    """

    def __init__(
        self, subject: Subject, *, threads: int | None, flat_gradient: float, provider: Provider = CPU
    ) -> None:
        self._subject, self._threads, self._provider = subject, threads, provider
        self._tally = Tally(subject.targets, flat_gradient)
        self._look = subject.first_look(small=False)
        self._opened: dict[str, Instrument] = {}
        self._steps = True  # until a feed of another length does not fit them
        self.peaks: Array | None = None  # of values of half precision
        self.assigned: tuple[int, int] | None = None  # nodes that the provider computes, and nodes in all

    def __enter__(self) -> BlockObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def samples(self) -> int:
        """How many were counted."""
        return self._tally.samples

    @property
    def statistics(self) -> dict[str, UnitStatistics]:
        """What was seen so far, by value."""
        return self._subject.seen(self._tally)

    def take(self, block: Block) -> None:
        """Run the feeds of a block and count them.

        Raises:
            RunError: the model fails on one, or memory runs out; those before it are counted.
        """
        for batch in block.batches:
            try:
                self._take(replace(batch, samples=self._subject.plan.counted(batch.samples)))
            except RunError as error:
                raise self._subject.failure(error) from error

    def _take(self, batch: Batch) -> None:
        suited = self._look.suited_to(batch.feeds)
        reading = self._run("usual" if suited is self._look else "large numbers", suited, batch)
        if reading.alarmed:
            reading = self._run("not finite", suited.alarmed(), batch)
        self._tally.add(reading)
        if reading.peaks is not None:
            self.peaks = reading.peaks if self.peaks is None else np.maximum(self.peaks, reading.peaks)

    def _run(self, kind: str, look: Look, batch: Batch) -> Reading:
        """What a feed shows; there is one session for each kind of feed, as long as they go on."""
        if kind not in self._opened:
            self._opened[kind] = self._subject.instrument(
                look, threads=self._threads, provider=self._provider, steps=self._steps
            )
            self.assigned = self.assigned or self._opened[kind].assigned
        try:
            return self._opened[kind].run(batch.feeds, batch.samples)
        except RunError:
            if not self._opened[kind].stepped:
                raise
        self._close()
        self._steps = False
        return self._run(kind, look, batch)

    def _close(self) -> None:
        for instrument in self._opened.values():
            instrument.close()
        self._opened.clear()
