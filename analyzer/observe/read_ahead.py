"""Feeds that are run together: some are read before their turn, and what cannot be read says so in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from analyzer.probes.sample_blocks import Batch

MOST_BYTES = 1 << 27  # of feeds that are read before their turn


class ReadAhead:
    """Batches of data, in their order."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._left, self._read = iter(batches), deque[Batch]()
        self._ended = False
        self._error: Exception | None = None

    def first(self, most: int) -> list[Batch]:
        """Up to so many of the next ones, at least one; none at the end. They come again until they are taken.

        Raises:
            Exception: what reading them raised, once all before it were taken.
        """
        held = bytes_of(self._read)
        while len(self._read) < most and not self._ended and (not self._read or held < MOST_BYTES):
            try:
                self._read.append(next(self._left))
                held += bytes_of([self._read[-1]])
            except StopIteration:
                self._ended = True
            except Exception as error:  # noqa: BLE001  raised in its turn
                self._ended, self._error = True, error
        if not self._read and self._error is not None:
            raise self._error
        return [*self._read][:most]

    def take(self, count: int = 1) -> None:
        """Be done with so many."""
        for _ in range(count):
            self._read.popleft()


def bytes_of(batches: Iterable[Batch]) -> int:
    """Bytes of all their arrays."""
    return sum(array.nbytes for batch in batches for array in batch.feeds.values())
