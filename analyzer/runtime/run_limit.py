"""An end to every run: a loop in a model may have none, and native code hears no exception.

A thread looks at what is running and asks onnxruntime to end what takes too long. That is heeded where a node begins. A
single kernel, and a loop with an empty body, do not heed it: then `unfinished.when_stuck` is called.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from analyzer import unfinished
from analyzer.errors import RunEnded

TICK = 0.2  # seconds between two looks
GRACE = 5  # seconds after which a run that was asked to end is stuck
SPARE = 1 << 30  # bytes that a run may take beside the room for its values: what a loop collects is more than values


@dataclass(frozen=True, slots=True)
class _Limit:
    seconds: float
    advice: str

    def error(self) -> RunEnded:
        return RunEnded(f"A run of the model took longer than {self.seconds:g} s, maybe in a loop: {self.advice}.")


@dataclass(slots=True)
class _Running:
    options: Any  # onnxruntime's RunOptions
    limit: _Limit
    end: float  # as time.monotonic() counts
    most: float  # bytes that the process may take
    taken: int = 0

    def error(self) -> RunEnded:
        if not self.taken:
            return self.limit.error()
        size = f"{self.taken / (1 << 30):.2g} GiB"
        return RunEnded(
            f"A run of the model was ended when {size} of memory were taken, maybe in a loop: more than a model and a "
            "sample of this size may take."
        )


_limit: ContextVar[_Limit | None] = ContextVar("_limit", default=None)
_running: dict[int, _Running] = {}
_busy = threading.Event()
_watchers: list[threading.Thread] = []


def present_limit() -> tuple[float, str] | None:
    """What `runs_limited` was called with around here, for another process."""
    limit = _limit.get()
    return None if limit is None else (limit.seconds, limit.advice)


@contextmanager
def runs_limited(seconds: float, advice: str) -> Iterator[None]:
    """Each run inside may take so many seconds, and no more than a block around this one allows.

    `advice` says what to change where one takes longer. However many they are, memory ends a run.
    """
    around = _limit.get()
    token = _limit.set(around if around and around.seconds <= seconds else _Limit(seconds, advice))
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def watched(options: Any, room: int = 0) -> Iterator[None]:
    """A run with these RunOptions is inside, with room for so many bytes of values (0: any number).

    Raises:
        RunEnded: it was ended.
    """
    limit = _limit.get()
    if limit is None:
        yield
        return
    most = _memory() + room + SPARE if room else inf
    run = _running[id(options)] = _Running(options, limit, time.monotonic() + limit.seconds, most)
    if not (_watchers and _watchers[0].is_alive()):  # a forked process has none
        _watchers[:] = [threading.Thread(target=_watch, daemon=True)]
        _watchers[0].start()
    _busy.set()
    try:
        yield
    except Exception as error:
        if options.terminate:
            raise run.error() from error
        raise
    finally:
        del _running[id(options)]


def _watch() -> None:
    while _busy.wait():
        _busy.clear()
        while _running:
            time.sleep(TICK)
            now, memory = time.monotonic(), _memory()
            for run in list(_running.values()):
                if memory > run.most and not run.taken:
                    run.taken, run.end = memory, now
                if now >= run.end:
                    run.options.terminate = True
                if now > run.end + GRACE:
                    for act in unfinished.when_stuck:
                        act(str(run.error()))


def _memory() -> int:
    """Bytes that this process takes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0
