"""Where reports for a person are printed, and the parts that they are made of."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from analyzer.facts.wording import cut_apart, cut_in_the_middle
from analyzer.report.phrases import printable

WIDTH = 110  # columns of a text
_BOUND = "\ue000"  # a blank at which no line is broken; Rich breaks lines at all that Unicode has
HEAD, QUIET = "bold", "dim"  # styles
GAP = 2  # columns between those of a table
LEAST_NAME, SHORTEST_NAME = 20, 8  # characters of a name that a table leaves room for, and where nothing can go


class ReportConsole(Console):
    """Standard output; Rich itself ends a broken pipe with exit code 1, which means something else here."""

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError


def plain(render: Callable[[Console], None]) -> str:
    """What is printed, without colours, for a file."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        render(console)
    return captured.get()


@dataclass(frozen=True)
class _Trimmed:
    """What is shown, without blanks at the ends of lines."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in Segment.split_lines(console.render(self.shown, options)):
            kept = list(line)
            while kept and not kept[-1].control and not kept[-1].text.rstrip():
                kept.pop()
            if kept and not kept[-1].control:
                kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
            yield from kept
            yield Segment.line()


def put(console: Console, *sections: RenderableType, written: str = "") -> None:
    """Print sections; what comes from files is no markup, and lines have no blanks at their ends.

    `written` names the files that there are now, behind all the rest.
    """
    for section in sections:
        if isinstance(section, Group):
            put(console, *section.renderables)
            continue
        if isinstance(section, Text) and "\n" not in section.plain:
            section = _Hanging(section)
        console.print(_Trimmed(section), highlight=False, markup=False, emoji=False, end="")
    if written:
        console.print(Text.assemble(("\nWritten  ", HEAD), printable(written)), soft_wrap=True)


def heading(text: str) -> Text:
    """The first line of a section."""
    return Text(f"\n{text}", HEAD)


@dataclass(frozen=True)
class _Hanging:
    """A text `by` columns in, whose further lines stand `hang` columns further in.

    A word that is longer than a line, which is a name, is cut in the middle, unless the text must be `whole`.
    """

    text: Text
    by: int = 0
    hang: int = 0
    whole: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(options.max_width - self.by - self.hang, 1)
        text = self.text.copy() if self.whole else _with_short_words(self.text, room)
        text.plain = text.plain.replace(" %", f"{_BOUND}%")  # a number and its sign stay on one line
        first, *others = text.wrap(console, max(options.max_width - self.by, 1))
        rest = len(text) - len(text.plain[len(first.plain.rstrip()) :].lstrip())
        further = text[rest:].wrap(console, room) if others else ()
        for line, by in ((first, self.by), *((line, self.by + self.hang) for line in further)):
            line.plain = line.plain.replace(_BOUND, " ")
            yield Text(" " * by).append_text(line)


def _with_short_words(text: Text, width: int) -> Text:
    short, end = Text(), 0
    for word in re.finditer(rf"\S{{{width + 1},}}", text.plain):
        head, _, tail = cut_in_the_middle(word[0], width).partition("…")
        short.append_text(text[end : word.start() + len(head)]).append("…")
        short.append_text(text[word.end() - len(tail) : word.end()])
        end = word.end()
    return short.append_text(text[end:])


def indented(text: str | Text, style: str = "", *, by: int = 2, hang: int = 2, whole: bool = False) -> RenderableType:
    """A line of a section, without control characters; what does not fit on it hangs. `whole`: no name is cut."""
    return _Hanging(Text(printable(text), style) if isinstance(text, str) else text, by, hang, whole)


def layer_cells(names: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Of each layer (tensor, module) the name in the training code, where it is known, and under it the tensor's."""
    heads = cut_apart((printable(module or value) for value, module in names), width)
    tensors = cut_apart((printable(value) for value, module in names if module), width)
    return [
        Text(heads[printable(module or value)]).append(f"\n{tensors[printable(value)]}" if module else "", QUIET)
        for value, module in names
    ]


@dataclass(frozen=True)
class Column:
    """Cells that are never cut: numbers, or short words; what `wraps` takes several lines.

    Where there is no room, columns of high `rank` go first.
    """

    heading: str
    cells: Sequence[Text | str]
    rank: int = 0
    right: bool = True
    wraps: bool = False

    @property
    def width(self) -> int:
        """Of the widest cell."""
        return max(len(self.heading), *(len(cell) for cell in self.cells))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that leave room for names beside them."""
    kept = list(columns)
    while room_for_names(kept, width) < LEAST_NAME and any(column.rank for column in kept):
        kept.remove(max(kept, key=lambda column: column.rank))
    return kept


def room_for_names(columns: Sequence[Column], width: int) -> int:
    """Characters of a name in a table with these columns beside it."""
    return max(width - GAP - sum(GAP + column.width for column in columns), SHORTEST_NAME)


def table_of(heading: str, names: Sequence[Text | str], columns: Sequence[Column]) -> Table:
    """A table without lines: names, then columns."""
    grid = Table(box=None, padding=(0, 0, 0, GAP), pad_edge=True, header_style=QUIET)
    grid.add_column(heading, no_wrap=True)
    for column in columns:
        justify: Literal["right", "left"] = "right" if column.right else "left"
        least = None if column.wraps else column.width
        grid.add_column(column.heading, justify=justify, no_wrap=not column.wraps, min_width=least)
    for name, *cells in zip(names, *(column.cells for column in columns), strict=True):
        grid.add_row(name, *cells)
    return grid
