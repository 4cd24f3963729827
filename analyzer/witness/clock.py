"""The time that a search has."""

from __future__ import annotations

import time
from collections.abc import Callable


class OutOfTime(Exception):
    """The time is over, or somebody asked to end: what is settled is kept."""


class Clock:
    """So many seconds from now on, unless `stopped` says earlier that it is enough."""

    def __init__(self, seconds: float, stopped: Callable[[], bool], tick: Callable[[float], None]) -> None:
        """`tick` is told, now and then, how many seconds have passed."""
        self._begin, self._seconds, self._stopped, self._tick = time.monotonic(), seconds, stopped, tick

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._begin + self._seconds - time.monotonic(), 0.0)

    def goes_on(self) -> bool:
        """Whether there is time left."""
        self._tick(self._seconds - self.left)
        return bool(self.left) and not self._stopped()

    def until(self, share: float) -> Clock:
        """The same clock, that ends when this share of all its time is over."""
        sooner = Clock(share * self._seconds, self._stopped, self._tick)
        sooner._begin = self._begin
        return sooner

    def check(self) -> None:
        """Go on, or not.

        Raises:
            OutOfTime: the time is over.
        """
        if not self.goes_on():
            raise OutOfTime
