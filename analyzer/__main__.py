"""The command `deadunits`, also `python -m analyzer`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from analyzer.cli.main import run
    except KeyboardInterrupt:  # pressed while the libraries load
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
