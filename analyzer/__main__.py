"""The command `deadunits`, also `python -m analyzer`."""

from __future__ import annotations

import gc
import signal
import sys
import warnings


def main() -> int:
    """Run the command line; returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends without a traceback, until we can say a sentence
    from analyzer.cli.signals import end_on_signals

    end_on_signals()
    if not sys.warnoptions and "--debug" not in sys.argv:
        import logging

        warnings.simplefilter("ignore")  # of libraries, about themselves: what a user must know stands in the report
        logging.lastResort = logging.NullHandler()
    from analyzer.cli.main import run

    gc.set_threshold(50_000, 10, 10)  # a deep graph is some millions of objects that all stay: a quarter of the time
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
