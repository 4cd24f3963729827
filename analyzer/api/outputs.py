"""The files that a call will write, and those that none of them may replace; known before the long work starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analyzer.errors import OutputError
from analyzer.facts.addresses import as_path, is_address
from analyzer.probes.images import listed_images
from analyzer.report.file_set import written_together
from analyzer.report.output_files import check_output
from analyzer.report.outputs_elsewhere import as_named, guarded_place, is_there, remove

__all__ = ["as_named", "check_outputs", "guarded_files", "is_there", "remove", "written_together"]


def check_outputs(names: Iterable[str | Path], inputs: Iterable[Path]) -> list[Path]:
    """The files of these names, where none of them would replace another or an input and all can be written.

    Raises:
        OutputError: which one, and why.
    """
    guarded = list(inputs)
    targets = [check_output(name, guarded) for name in names]
    if len({target.resolve() for target in targets}) < len(targets):
        raise OutputError("Two outputs have the same name: give each its own.")
    return targets


def guarded_files(*sources: Any) -> tuple[Path, ...]:
    """The files and folders among the sources, and the images that a list among them names.

    Sources that cannot be read are left out: whoever reads them says so.
    """
    named = [str(as_path(source)) for source in sources if isinstance(source, str | Path) and _possible(source)]
    files = (text if Path(text).exists() else text.rpartition(":")[0] for text in named)  # `file.py:generator`
    elsewhere = map(guarded_place, filter(is_address, sources))
    return (*(Path(text) for text in files if text and Path(text).exists()), *listed_images(*named), *elsewhere)


def _possible(name: str | Path) -> bool:
    """Whether the system can look the name up at all: it may be too long, or hold a NUL."""
    try:
        Path(name).exists()
    except (OSError, ValueError):
        return False
    return True
