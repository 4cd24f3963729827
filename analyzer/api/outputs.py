"""The files that a call will write, and those that none of them may replace; known before the long work starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analyzer.errors import OutputError
from analyzer.facts.addresses import as_path
from analyzer.probes.images import listed_images
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output

__all__ = ["check_outputs", "guarded_files", "written_together"]


def check_outputs(names: Iterable[str | Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that cannot be written, or of which one would replace another or an input.

    Raises:
        OutputError: which one, and why.
    """
    guarded = list(inputs)
    targets = [check_output(name, guarded).resolve() for name in names]
    if len(set(targets)) < len(targets):
        raise OutputError("Two outputs have the same name: give each its own.")


def guarded_files(*sources: Any) -> tuple[Path, ...]:
    """The files and folders among the sources, and the images that a list among them names.

    Sources that cannot be read are left out: whoever reads them says so.
    """
    named = [str(as_path(source)) for source in sources if isinstance(source, str | Path) and _possible(source)]
    files = (text if Path(text).exists() else text.rpartition(":")[0] for text in named)  # `file.py:generator`
    return (*(Path(text) for text in files if text and Path(text).exists()), *listed_images(*named))


def _possible(name: str | Path) -> bool:
    """Whether the system can look the name up at all: it may be too long, or hold a NUL."""
    try:
        Path(name).exists()
    except (OSError, ValueError):
        return False
    return True
