"""Progress in a notebook, by itself: a line under the cell while work goes on that takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from analyzer.facts.wording import PATIENCE, progress_of, stage_named

Progress = Callable[[str, int, int | None], None]
_PAUSE = 0.25  # seconds between two looks


@contextmanager
def shown_in_notebook(given: Progress | None) -> Iterator[Progress | None]:
    """What is called as samples are run: what the caller gave, else a line where this is a notebook, else nothing."""
    if given is not None or not _in_notebook():
        yield given
        return
    line = _Line()
    try:
        yield line
    finally:
        line.clear()


def _in_notebook() -> bool:
    """Whether this process is a notebook's; IPython in a terminal is none."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    kinds = () if ask is None else type(ask()).__mro__
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in kinds)


class _Line:
    def __init__(self) -> None:
        self._handle: Any = None
        self._next = time.monotonic() + PATIENCE

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE
        self._show(f"{stage_named(stage)}: {progress_of(done, total, stage)}")

    def clear(self) -> None:
        """Leave nothing behind, as results come next."""
        if self._handle is not None:
            self._show("")

    def _show(self, text: str) -> None:
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = sys.modules["IPython"].display.display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
