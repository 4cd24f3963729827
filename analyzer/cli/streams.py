"""Standard streams that may be closed or full: a report that cannot be written is said, an exit code always arrives."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any


class _Closed(io.TextIOBase):
    """Stands in for a stream that was closed before we started, for which Python has None."""

    def write(self, text: str) -> int:
        """Fail as writing to a full disk does."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _Forgiving:
    """A stream that may fail: what is said there is worth less than the exit code."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with self._failing_silently():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with self._failing_silently():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _failing_silently(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            silence(self._stream)


@contextmanager
def usable_streams() -> Iterator[None]:
    """While inside, both streams exist, and only standard output can fail."""
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a name that the terminal cannot show is no reason to fail
        # Python has None for a stream that is closed, whatever its type says.
        if sys.stdout is None:
            stack.enter_context(redirect_stdout(_Closed()))
        stack.enter_context(redirect_stderr(_Forgiving(_Closed() if sys.stderr is None else sys.stderr)))
        yield


def silence(stream: Any) -> None:
    """What Python still holds for a broken stream would raise again at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
