"""The command `deadunits`, also `python -m analyzer`."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import warnings
from contextlib import suppress


def main() -> int:
    """Run the command line; returns the exit code."""
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first that is registered runs last
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends without a traceback, until we can say a sentence
    from analyzer.cli.signals import end_on_signals

    end_on_signals()
    if not sys.warnoptions and "--debug" not in sys.argv:
        import logging

        warnings.simplefilter("ignore")  # of libraries, about themselves: what a user must know stands in the report
        logging.lastResort = logging.NullHandler()
    gc.set_threshold(1_000_000, 10, 10)  # a deep graph is some millions of objects that all stay: a third of the time
    from analyzer.cli.main import run

    codes.append(run(sys.argv[1:]))
    return codes[0]


def _leave(codes: list[int]) -> None:
    """End the process without taking apart what a deep graph is made of: that would be a twentieth of the time."""
    if codes:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # closed, or said already
                stream.flush()
        os._exit(codes[0])


if __name__ == "__main__":
    sys.exit(main())
