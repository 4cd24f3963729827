"""Files that no output may replace, known before the long work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer.api.auditing import input_files
from analyzer.probes.images import listed_images


def guarded_files(*sources: Any) -> tuple[Path, ...]:
    """The files and folders among the sources, and the images that a list among them names.

    Sources that cannot be read are left out: whoever reads them says so.
    """
    named = [source for source in sources if not isinstance(source, str | Path) or _possible(source)]
    return (*input_files(*named), *listed_images(*named))


def _possible(name: str | Path) -> bool:
    """Whether the system can look the name up at all: it may be too long, or hold a NUL."""
    try:
        Path(name).exists()
    except (OSError, ValueError):
        return False
    return True
