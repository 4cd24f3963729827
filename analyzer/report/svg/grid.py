"""A headline over a grid of shades, as SVG: text and rectangles only, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.report.html.document import environment
from analyzer.report.phrases import shortened

WIDTH = 860
_LEFT, _TOP, _BOTTOM = 132, 118, 46
_LABEL = 12  # pixels that a label takes along a side
_CHARACTER = 6.2  # pixels of a character of a label


@dataclass(frozen=True, slots=True)
class Cell:
    """One rectangle: how full its shade is, from 0 to 1 (None: there is nothing), and what it says when pointed at."""

    shade: float | None
    title: str


@dataclass(frozen=True)
class Grid:
    """Rows of cells, with names of rows and columns; `cell_height` in pixels."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    cell_height: int


def to_svg(headline: str, verdict: str, lines: Sequence[str], grid: Grid, caption: str, colour: str) -> str:
    """The picture as a text; `verdict` is shown in front of the first line, `colour` is of a full shade."""
    room = WIDTH - _LEFT - 24
    across, down = room / max(len(grid.columns), 1), grid.cell_height
    height = _TOP + down * len(grid.rows) + _BOTTOM
    skip_rows, skip_columns = -(-_LABEL // down), max(1, -(-_LABEL * 6 // max(int(across), 1)))
    template = environment().get_template("grid.svg.j2")
    return template.render(
        headline=headline,
        verdict=verdict,
        lines=lines,
        caption=caption,
        colour=colour,
        width=WIDTH,
        height=height,
        left=_LEFT,
        top=_TOP,
        across=across,
        down=down,
        grid=grid,
        row_labels=[
            (i, shortened(name, int(_LEFT / _CHARACTER) - 2)) for i, name in enumerate(grid.rows) if not i % skip_rows
        ],
        column_labels=[
            (i, shortened(name, max(int(across * skip_columns / _CHARACTER) - 1, 6)))
            for i, name in enumerate(grid.columns)
            if not i % skip_columns
        ],
    )
