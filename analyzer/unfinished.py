"""What must not be cut in two by a signal, what is taken away when the program ends early, and what was written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

#: Signals that ask a program to end, as far as the platform has them; Windows has SIGINT and SIGBREAK in truth.
ENDING: tuple[int, ...] = tuple(
    int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
#: Whoever holds it, the process is not ended meanwhile.
LOCK = threading.RLock()
#: What takes away what was begun: drafts of files, a progress bar.
undo: list[Callable[[], object]] = []
#: Called with a sentence where a run of the model does not heed that it is to end. A library can do nothing.
when_stuck: list[Callable[[str], object]] = []
#: Called by the first Ctrl-C instead of an end, where what is settled so far is worth having; a second one ends.
instead_of_ending: list[Callable[[], object]] = []
#: The files that appeared, as they were named.
written: list[str] = []


@contextmanager
def held() -> Iterator[None]:
    """Signals that arrive while inside take effect afterwards."""
    late: list[int] = []
    try:
        with LOCK, _handlers(lambda number, _: late.append(number)):
            yield
    finally:
        if late:
            signal.raise_signal(late[0])


@contextmanager
def stopping(stop: Callable[[], object]) -> Iterator[None]:
    """The first Ctrl-C while inside calls this instead of ending the program."""
    instead_of_ending.append(stop)
    try:
        yield
    finally:
        if stop in instead_of_ending:
            instead_of_ending.remove(stop)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that goes with what is in it, however the program ends.

    Raises:
        OSError: there is no place for one.
    """
    folder = TemporaryDirectory(ignore_cleanup_errors=True)
    undo.append(folder.cleanup)
    try:
        yield Path(folder.name)
    finally:
        undo.remove(folder.cleanup)
        folder.cleanup()


@contextmanager
def _handlers(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Another handler for all of these signals that are not ignored; only the main thread ever runs one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in reversed(ENDING)}
    ours = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in ours.items():
            signal.signal(number, old)


def outcome() -> str:
    """Which files appeared, as the end of a sentence."""
    return f"these files were written before: {', '.join(written)}" if written else "no file was written"
