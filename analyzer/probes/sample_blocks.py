"""What a probe hands out: feeds, and blocks of so many samples each, counted over all of the data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from analyzer.probes.fitting import Feeds, Part


@dataclass(frozen=True, eq=False)
class Batch:
    """One feed of the model: an array for every input, and how many samples it holds."""

    feeds: Feeds
    samples: int


@dataclass(frozen=True, eq=False)
class Block:
    """So many samples of the data as one unit of work: its number, and the feeds that it is run as."""

    number: int
    batches: tuple[Batch, ...]

    @property
    def samples(self) -> int:
        """How many it holds."""
        return sum(batch.samples for batch in self.batches)


def in_blocks(
    parts: Iterable[Part | int], size: int, limit: int | None, chosen: Callable[[int], bool]
) -> Iterator[tuple[int, int, list[Part]]]:
    """Start and stop of each block of the first `limit` samples, and the parts that it holds; none if not `chosen`.

    Block b begins with sample b * size. A number stands for so many samples that were not read.
    """
    last = sys.maxsize if limit is None else limit
    start, held = 0, list[Part]()
    for part in parts:
        samples = min(part if isinstance(part, int) else part.samples, last - start)
        at = 0
        while at < samples:
            stop = min(samples, at + size - start % size)
            if not isinstance(part, int) and chosen(start // size):
                held.append(part.piece(at, stop))
            start, at = start + stop - at, stop
            if not start % size:
                yield start - size, start, held
                held = []
        if start == last:
            break
    if start % size:
        yield start - start % size, start, held
