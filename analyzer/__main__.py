"""The command `deadunits`, also `python -m analyzer`."""

from __future__ import annotations

import logging
import sys
import warnings


def main() -> int:
    """Run the command line; returns the exit code."""
    if not sys.warnoptions and "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # of libraries, about themselves: what a user must know stands in the report
        logging.lastResort = logging.NullHandler()
    try:
        from analyzer.cli.main import run
    except KeyboardInterrupt:  # pressed while the libraries load
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
