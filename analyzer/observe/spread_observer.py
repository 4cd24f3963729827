"""The second pass in blocks: spreads of what enters the activations of suspects, on any machine and in any order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import xxhash

from analyzer.facts.spread import Watched
from analyzer.observe.block_observer import Counted
from analyzer.observe.exact_spread import ExactSpread
from analyzer.observe.in_turn import InTurn
from analyzer.observe.read_ahead import MOST_BYTES, bytes_of
from analyzer.observe.suspects import Gauge, Measuring
from analyzer.probes.sample_blocks import Batch, Block
from analyzer.runtime.providers import CPU, Provider


@dataclass(frozen=True, eq=False)
class SpreadSetup:
    """Everything that an observer of spreads needs but the samples; it can be sent to another process."""

    measuring: Measuring
    threads: int | None
    provider: Provider = CPU

    @property
    def nothing(self) -> Counted:
        """What no samples show."""
        return Counted({}, 0, spread=ExactSpread.empty(self.measuring.width))

    def observer(self) -> SpreadObserver:
        """Who takes blocks, in this process."""
        return SpreadObserver(self)


class SpreadObserver(InTurn):
    """Spreads of what a second pass asks for, over the blocks that it takes; like `BlockObserver`."""

    def __init__(self, setup: SpreadSetup) -> None:
        self._setup = setup
        asks = bool(setup.measuring.targets)
        self._gauge = Gauge(setup.measuring, setup.threads, setup.provider) if asks else None
        self.restart()

    def restart(self) -> None:
        """Forget what was counted; the session stays open."""
        self._waiting = list[Batch]()
        self._counted = self._setup.nothing

    def counted(self) -> Counted:
        """What was seen so far.

        Raises:
            RunError: as for `take`.
        """
        waiting, self._waiting = self._waiting, []
        if self._gauge is not None and waiting:
            for batch, shown in zip(waiting, self._gauge.shown_each(waiting), strict=True):
                self._counted = self._counted.merge(Counted({}, batch.samples, spread=ExactSpread.of(shown)))
        return self._counted

    def take(self, block: Block) -> None:
        """Run the feeds of a block and count them; they wait for more where several are best run together.

        Raises:
            RunError: the model fails on one.
        """
        if self._gauge is None:  # nothing is asked
            return
        self._waiting += block.batches
        if len(self._waiting) >= self._gauge.fitting or bytes_of(self._waiting) >= MOST_BYTES:
            self.counted()

    def _close(self) -> None:
        if self._gauge is not None:
            self._gauge.__exit__()


def asked_hash(measuring: Measuring, named: Mapping[str, Watched]) -> str:
    """Of what is measured: spreads of other hashes are of other units. `named` are values by other names."""
    described = {
        "targets": [[asdict(t.audited), t.chosen] for t in measuring.targets],
        "named": {name: asdict(watched) for name, watched in named.items()},
    }
    return f"xxh3:{xxhash.xxh3_128_hexdigest(json.dumps(described, sort_keys=True).encode())}"
