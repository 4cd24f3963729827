"""Progress with the time left, on stderr, once work takes longer than a second; silent off a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from analyzer import unfinished
from analyzer.facts.wording import PATIENCE, progress_of, stage_named


class _Count(ProgressColumn):
    """How far the work is."""

    def render(self, task: Task) -> Text:
        """The text of one task."""
        return Text(
            progress_of(int(task.completed), None if task.total is None else int(task.total), task.fields["stage"])
        )


class _TimeLeft(ProgressColumn):
    """`0:12 left`, once it is known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The text of one task."""
        if task.total is None or task.time_remaining is None:
            return Text("")
        minutes, seconds = divmod(int(task.time_remaining), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return Text(f"{clock} left")


class ProgressLine:
    """A context manager to be called with (stage, samples done, samples in all or None)."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._silent = quiet or not self._console.is_terminal
        self._start: float | None = None  # when the work was first heard of: until then libraries are loaded
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            unfinished.undo.remove(self._bar.stop)
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Show how far the stage is."""
        now = time.monotonic()
        self._start = now if self._start is None else self._start
        if self._silent or now - self._start < PATIENCE:
            return
        if self._bar is None:
            self._bar = self._opened()
        if stage not in self._tasks:
            for earlier in self._tasks.values():
                self._bar.remove_task(earlier)
            self._tasks = {stage: self._bar.add_task(stage_named(stage), total=total, stage=stage)}
        self._bar.update(self._tasks[stage], completed=done, total=total)

    def _opened(self) -> Progress:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Count(),
            _TimeLeft(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        unfinished.undo.append(bar.stop)  # which shows the cursor again
        bar.start()
        return bar
