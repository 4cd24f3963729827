"""Where reports for a person are printed: standard output, or a text without colours."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

WIDTH = 110  # columns of a text


class ReportConsole(Console):
    """Standard output; Rich itself ends a broken pipe with exit code 1, which means something else here."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError


def plain(render: Callable[[Console], None]) -> str:
    """What is printed, without colours and ends of lines that are blank, for a file."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        render(console)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
