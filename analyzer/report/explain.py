"""Explanations for a person at a terminal: of a unit or a parameter, and the page of a finding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from analyzer.report.console import HEAD, heading, indented, put
from analyzer.report.phrases import printable


def render(lines: Sequence[str], console: Console, *, written: str = "") -> None:
    """Print sentences: the first says what is explained, the others hang below it; then which files were `written`."""
    first, *others = lines
    put(
        console,
        indented(Text(printable(first), HEAD), by=0, whole=True),
        *(indented(line, whole=True) for line in others),
        written=written,
    )


def render_page(page: str, console: Console) -> None:
    """Print a page that is written in the Markdown of docs/findings: headings, paragraphs, lists, a word in bold."""
    put(console, *_blocks(page))


def _blocks(page: str) -> Iterator[RenderableType]:
    for block in re.split(r"\n{2,}", page.strip()):
        if block.startswith("# "):
            yield indented(Text(block[2:], HEAD), by=0)
        elif block.startswith("## "):
            yield heading(block[3:])
        elif block.startswith("- "):
            yield from (indented(_inline(f"- {item}")) for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:])
        else:
            yield indented(_inline(block), hang=0)


def _inline(text: str) -> Text:
    """On one line, in bold what is between asterisks; of a link its words are left."""
    words = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(text.split()))
    line = Text()
    for place, part in enumerate(re.split(r"\*+([^*]+)\*+", words)):
        line.append(part, HEAD if place % 2 else "")
    return line
