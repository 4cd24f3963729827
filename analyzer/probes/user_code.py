"""The user's own code: its errors become one sentence, and what it prints stays out of our output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from analyzer.errors import InputError, ProbeError, first_line
from analyzer.probes.fitting import Part


@contextmanager
def user_code(name: str) -> Iterator[None]:
    """Run the code that `name` stands for; the cause of a failure stays attached.

    Raises:
        ProbeError: it failed, with whatever exception, or tried to end the program, which would pass for an end of
            ours.
    """
    try:
        with redirect_stdout(sys.stderr):  # standard output may be the report
            yield
    except SystemExit as error:
        raise ProbeError(f"{name} ended with sys.exit: let it return, or raise an error that says why.") from error
    except (InputError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ProbeError(f"{name} failed: {type(error).__name__}: {first_line(error)}") from error


def user_parts(name: str, parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts; the user's code runs only while one is computed."""
    while True:
        with user_code(name):
            part = next(parts, None)
        if part is None:
            return
        yield part
