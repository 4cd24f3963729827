"""The files that a command is asked to write, looked at together before the long work starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from analyzer.errors import OutputError
from analyzer.report.output_files import check_output

STDOUT = "-"


def check_outputs(names: Sequence[str | None], inputs: Iterable[Path]) -> None:
    """Refuse outputs that cannot be written, or of which one would replace another or an input; None is no output.

    Raises:
        OutputError: which one, and why.
    """
    wanted, guarded = [name for name in names if name is not None], list(inputs)
    if STDOUT in wanted:
        raise OutputError("Only --json writes to standard output: name a file (./- for one that is called -).")
    targets = [check_output(name, guarded).resolve() for name in wanted]
    if len(set(targets)) < len(targets):
        raise OutputError("Two outputs have the same name: give each its own.")
