"""Where reports for a person are printed, and the parts that they are made of."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from analyzer.facts.wording import cut_apart
from analyzer.report.phrases import printable

WIDTH = 110  # columns of a text
HEAD, QUIET = "bold", "dim"  # styles


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


def put(console: Console, *sections: RenderableType) -> None:
    """Print sections; what comes from files is no markup, and lines have no blanks at their ends."""
    for section in sections:
        console.print(_Trimmed(section), highlight=False, markup=False, emoji=False, end="")


def heading(text: str) -> Text:
    """The first line of a section."""
    return Text(f"\n{text}", HEAD)


def indented(text: str, style: str = "", *, by: int = 2) -> RenderableType:
    """A line of a section, without control characters."""
    return Padding(Text(printable(text), style), (0, 0, 0, by))


def layer_cells(names: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Of each layer (tensor, module) the name in the training code, where it is known, and under it the tensor's."""
    heads = cut_apart((printable(module or value) for value, module in names), width)
    tensors = cut_apart((printable(value) for value, module in names if module), width)
    return [
        Text(heads[printable(module or value)]).append(f"\n{tensors[printable(value)]}" if module else "", QUIET)
        for value, module in names
    ]


def table(left: Iterable[str], right: Iterable[str] = ()) -> Table:
    """A table without lines: headings of names, then of numbers."""
    grid = Table(box=None, padding=(0, 0, 0, 2), pad_edge=True, header_style=QUIET)
    for name in left:
        grid.add_column(name, no_wrap=True, max_width=14 if name == "op" else None)
    for name in right:
        grid.add_column(name, justify="right", no_wrap=True)
    return grid
