"""The code blocks of the README and of docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(
    r"(?:^[ ]*<!--[ ]*(?P<marker>[^\n]*?)[ ]*-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and why it is not run (empty: it is)."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command line, and what the page shows of its output (None: nothing)."""

    line: str
    shown: tuple[str, ...] | None


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(source):
        marker = found["marker"] or ""
        indent = len(found["indent"])
        text = "".join(line[indent:] for line in found["text"].splitlines(keepends=True))
        reason = marker.removeprefix("not run:").strip() if marker.startswith("not run:") else ""
        yield Block(page, source.count("\n", 0, found.start("language")) + 1, found["language"], text, reason)


def commands(block: Block) -> Iterator[Command]:
    """The command lines of an `sh` or a `console` block; in the latter they start with `$ `, the rest is output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "sh":
        yield from (Command(part.strip(), None) for line in lines for part in _parts(line))
        return
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(lines[start][2:].strip(), tuple(lines[start + 1 : end]))


def _parts(line: str) -> Iterator[str]:
    if line.strip() and not line.lstrip().startswith("#"):
        yield from line.split(" && ")
