"""A worker that is another process on this machine, started anew, with pipes to it.

It is started as a module of ours, not by way of `multiprocessing`, which would run the caller's script again. What goes
through the pipes are objects between the two ends of one program; nobody else can write there.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import IO, Any

from analyzer import unfinished
from analyzer.errors import InputError, RunEnded
from analyzer.observe.block_observer import Counted
from analyzer.observe.sent import OtherEnd, packed
from analyzer.observe.workers import WorkerLost
from analyzer.probes.sample_blocks import Block

_LENGTH = struct.Struct("<Q")
_BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from analyzer.observe.worker_process import serve; serve()"
GRACE = 10.0  # seconds for a process that was killed to be gone


class ProcessWorker:
    """The end of the pipes in the process that has the data."""

    def __init__(self, setup: bytes) -> None:
        """`setup` is packed.

        Raises:
            InputError: no process can be started.
        """
        self._setup = setup
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # A terminal sends Ctrl-C to all processes of a group: this one ends when its pipe does.
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"No worker can be started ({error.strerror or error}): use --engine local.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._messages, self._answers = self._process.stdin, self._process.stdout

    def ready(self) -> None:
        """Send it the model; see `Worker`."""
        self._answer(self._setup)

    def ask(self, blocks: Sequence[Block]) -> Counted:
        """See `Worker`."""
        counted: Counted = self._answer(packed(blocks))
        return counted

    def close(self) -> None:
        """See `Worker`."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        for pipe in (self._messages, self._answers):
            with suppress(OSError):
                pipe.close()

    def _answer(self, message: bytes) -> Any:
        try:
            _write(self._messages, message)
            answer = ForkingPickler.loads(_read(self._answers))
        except (OSError, EOFError, ValueError) as error:
            raise WorkerLost(self._how_it_ended()) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
        return f"ended by signal {-code}"


def serve() -> None:
    """The other end: answer one message after the other, until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    messages: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, messages), daemon=True).start()

    def stuck(sentence: str) -> None:
        _write(answers, packed(RunEnded(sentence)))
        os._exit(0)

    unfinished.when_stuck.append(stuck)
    try:
        other_end = OtherEnd(messages.get())
    except Exception as error:  # noqa: BLE001  this end raises it
        _write(answers, packed(error))
        return
    _write(answers, packed("ready"))
    while True:
        _write(answers, packed(other_end.answer(ForkingPickler.loads(messages.get()))))


def _receive(stream: IO[bytes], messages: SimpleQueue[bytes]) -> None:
    """Read ahead, so that the end of the other process is noticed at once, whatever is running here."""
    with suppress(OSError, EOFError):
        while True:
            messages.put(_read(stream))
    os._exit(0)


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    read = stream.read(length)
    if len(read) < length:
        raise EOFError
    return read
