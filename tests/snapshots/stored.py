"""Texts that are made from the code and stored: reports as snapshots, a page of the documentation, the schemas."""

from __future__ import annotations

import os
from pathlib import Path

UPDATE = "DEADUNITS_UPDATE_SNAPSHOTS"  # set it to write the files anew, then look at the difference


def is_what_it_was(text: str, stored: Path) -> None:
    """Fails where the stored file holds another text."""
    if os.environ.get(UPDATE):
        stored.write_text(text, encoding="utf-8")
    assert text == stored.read_text(encoding="utf-8"), f"set {UPDATE}=1 to accept the change"
