"""Standard output for reports."""

from __future__ import annotations

from rich.console import Console


class ReportConsole(Console):
    """Standard output; Rich itself ends a broken pipe with exit code 1, which means something else here."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command's own exit."""
        raise BrokenPipeError
