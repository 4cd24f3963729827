"""A model and the smaller one that was made of it, run on blocks of the same samples, on any machine, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from analyzer.graph import LoadedModel
from analyzer.observe.block_observer import Counted
from analyzer.observe.output_differences import ComparedBlocks, differences
from analyzer.probes.fitting import Feeds
from analyzer.probes.sample_blocks import Batch, Block
from analyzer.runtime.compared_sessions import WrittenSession, reference
from analyzer.runtime.providers import CPU, Provider

SINGLE_SAMPLES = 64  # how many are compared one at a time as well, where several share a run


@dataclass(frozen=True, eq=False)
class PairSetup:
    """Both models, and how blocks of `block` samples are fed; it can be sent to another process.

    A run takes at least `alone` samples, and `several` where the model is used so (0: never); `fixed` inputs belong to
    all samples.
    """

    original: LoadedModel
    smaller: LoadedModel
    block: int
    alone: int
    several: int
    fixed: frozenset[str]
    threads: int | None
    provider: Provider = CPU

    @property
    def nothing(self) -> Counted:
        """What no samples show."""
        return Counted({}, 0, compared=ComparedBlocks())

    def observer(self) -> PairObserver:
        """Who takes blocks, in this process."""
        return PairObserver(self)


class PairObserver:
    """How far both models are apart over the blocks that it takes; like `BlockObserver`."""

    def __init__(self, setup: PairSetup) -> None:
        self._setup, self._sessions = setup, ExitStack()
        self._before = self._sessions.enter_context(reference(setup.original, threads=setup.threads))
        self._after = self._sessions.enter_context(WrittenSession(setup.smaller, threads=setup.threads))
        self.restart()

    def __enter__(self) -> PairObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.close()

    def restart(self) -> None:
        """Forget what was compared; the sessions stay open."""
        self._compared = ComparedBlocks()

    def counted(self) -> Counted:
        """What was seen so far."""
        return Counted({}, 0, compared=self._compared)

    def take(self, block: Block) -> None:
        """Run a block: several samples at once where the model takes that, the first of the data one at a time, too.

        Raises:
            RunError: the original fails on a sample.
            ComparisonFailed: the smaller model does not run.
        """
        feeds = [(batch.feeds, batch.samples) for batch in block.batches]
        if not self._setup.several:
            self._compared = self._compared.merge(ComparedBlocks(differences(self._before, self._after, feeds)))
            return
        together = differences(self._before, self._after, feeds, leave_out=True)
        left = block.samples if together.refused else SINGLE_SAMPLES - block.number * self._setup.block
        alone = differences(self._before, self._after, self._singles(block, left))
        self._compared = self._compared.merge(ComparedBlocks(alone, together))

    def _singles(self, block: Block, most: int) -> Iterator[tuple[Feeds, int]]:
        """The first samples of a block, in feeds as small as there can be."""
        step, at = self._setup.alone, 0
        for batch in block.batches:
            for start in range(0, min(batch.samples, most - at), step):
                yield self._piece(batch, start, start + step), step
            at += batch.samples

    def _piece(self, batch: Batch, start: int, stop: int) -> Feeds:
        return {n: a if n in self._setup.fixed else a[start:stop] for n, a in batch.feeds.items()}
