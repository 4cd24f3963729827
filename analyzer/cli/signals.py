"""Ctrl-C, SIGTERM and SIGHUP end a command at once, wherever it is, in one sentence.

An exception from a handler can be swallowed or become another one on its way through a library, and it waits while
native code runs. So a thread waits for the signals and ends the process, as soon as no file is being renamed.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from analyzer import unfinished
from analyzer.cli.exits import WRONG_INPUT, on_one_line

BY_HANDLER = 128  # added to a signal's number where the handler tells of it


def end_on_signals() -> None:
    """From now on a signal that asks to end does so, with 128 and its number as exit code; ignored ones stay ignored.

    What the operating system sends where there are no signals (Windows: all but Ctrl-C and Ctrl-Break) ends the process
    as it always does, without a sentence.
    """
    reading, writing = os.pipe()
    if hasattr(os, "set_blocking"):
        os.set_blocking(writing, False)

    def wake(number: int, _: object) -> None:
        with suppress(OSError):
            os.write(writing, bytes([number | BY_HANDLER]))  # where the user's code has taken the descriptor below

    _set_all(wake)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_end_silently)
    atexit.register(_too_late)  # the first that is registered runs last
    threading.Thread(target=_wait, args=(reading,), daemon=True).start()
    unfinished.when_stuck.append(_end_stuck)


def _end_silently() -> None:
    """In a process that the user's code forks: a signal is not ours to report, and must not wake the parent."""
    signal.set_wakeup_fd(-1)
    _set_all(signal.SIG_DFL)
    _let_through()


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, unfinished.ENDING)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, unfinished.ENDING)


def _too_late() -> None:
    """The exit code is known: a signal changes nothing any more, unless the thread has begun to end the process."""
    unfinished.LOCK.acquire()  # for good
    _set_all(signal.SIG_IGN)  # for Python takes its handlers away, and the system's would change the exit code


def _set_all(handler: Callable[[int, object], object] | signal.Handlers) -> None:
    for number in unfinished.ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _end_children() -> None:
    """End what the user's code started with multiprocessing, such as the workers of a loader."""
    if module := sys.modules.get("multiprocessing.process"):
        for child in module.active_children():
            child.terminate()


def _wait(reading: int) -> None:
    number = next(number for number in _signals(reading) if not _stopped_instead(number))
    how = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    _end(lambda: f"{how}; {unfinished.outcome()}", 128 + number)


def _signals(reading: int) -> Iterator[int]:
    """The signals that ask to end, each once: Python writes them by itself, and the handler once more, maybe later."""
    again = False
    while True:
        byte = os.read(reading, 1)[0]
        if byte & ~BY_HANDLER in unfinished.ENDING:
            known, again = bool(byte & BY_HANDLER) and again, not byte & BY_HANDLER
            if not known:
                yield byte & ~BY_HANDLER


def _stopped_instead(number: int) -> bool:
    """Whether somebody would rather stop and hand over what there is; only once, and only on Ctrl-C."""
    if number != signal.SIGINT or not unfinished.instead_of_ending:
        return False
    unfinished.instead_of_ending.pop()()
    return True


def _end_stuck(sentence: str) -> None:
    _end(lambda: f"{sentence.removesuffix('.')}; {unfinished.outcome()}", WRONG_INPUT)


def _end(sentence: Callable[[], str], code: int) -> None:
    """End the process from any thread, as soon as no file gets its name; nothing appears after the sentence."""
    unfinished.LOCK.acquire()  # for good
    try:
        for step in (_end_children, *unfinished.undo):
            with suppress(Exception):
                step()
        if sys.__stderr__ is not None:
            os.write(sys.__stderr__.fileno(), f"deadunits: {on_one_line(sentence())}.\n".encode(errors="replace"))
    finally:
        os._exit(code)
