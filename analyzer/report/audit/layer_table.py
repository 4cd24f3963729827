"""The table of layers in the terminal's report: numbers whole, the bar as long as there is room, names cut apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.wording import cut_in_the_middle, number, share
from analyzer.report.console import LEAST_NAME, QUIET, Column, fitting, indented, layer_cells, room_for_names, table_of
from analyzer.report.phrases import bar, printable

BAR, LEAST_BAR = 16, 4  # columns of the bar beside a layer
OP = 14
_COLUMNS = (  # verdict, heading, style, which goes first where there is no room; shown only where some layer has one
    ("proven", "proven", "green", 7),
    ("refuted", "refuted", "magenta", 6),
    ("near_dead", "near-dead", "yellow", 3),
    ("saturated", "saturated", "yellow", 4),
    ("always_on", "always-on", "cyan", 5),
    ("revived", "revived", "magenta", 2),
    ("nonfinite", "NaN/inf", "magenta", 1),
)


def layer_table(
    layers: Sequence[LayerVerdicts], shown: Sequence[LayerVerdicts], width: int, *, blocks: bool
) -> Iterator[RenderableType]:
    """A line for each layer that is shown, with a column for each verdict that any layer has."""
    columns = _columns(layers, shown)
    kept = fitting(columns, width)
    names = [(layer.value, layer.audited.module) for layer in shown]
    room, longest = room_for_names(kept, width), max(len(name) for pair in names for name in pair)
    cells = max(min(BAR, room - longest - 1), LEAST_BAR if room > LEAST_NAME + LEAST_BAR else 0)
    kept[-1] = _shares(shown, cells, blocks=blocks)
    yield table_of("layer", layer_cells(names, room_for_names(kept, width)), kept)
    if hidden := [column.heading for column in columns[1:-1] if column not in kept]:
        yield indented(f"no room for {', '.join(hidden)}", QUIET)


def _columns(layers: Sequence[LayerVerdicts], shown: Sequence[LayerVerdicts]) -> list[Column]:
    operators = [Text(cut_in_the_middle(printable(layer.audited.op), OP), QUIET) for layer in shown]
    return [
        Column("op", operators, 9, right=False),
        Column("units", [number(layer.units) for layer in shown]),
        Column("dead", [_count(layer.dead, "red") for layer in shown]),
        *(
            Column(name, [_count(getattr(layer, verdict), style) for layer in shown], rank)
            for verdict, name, style, rank in _COLUMNS
            if any(getattr(layer, verdict) for layer in layers)
        ),
        _shares(shown, 0, blocks=False),
    ]


def _shares(shown: Sequence[LayerVerdicts], cells: int, *, blocks: bool) -> Column:
    """The share of dead units of each layer, behind a bar where there is room for one."""
    texts = []
    for layer in shown:
        drawn = f"{bar(layer.dead_share, cells, blocks=blocks)} " if cells else ""
        texts.append(Text(f"{drawn}{share(layer.dead_share):>7}", "red" if layer.dead else QUIET))
    return Column("", texts, right=False)


def _count(units: Sequence[int] | None, style: str) -> Text:
    return Text(number(len(units)), style) if units else Text("·", QUIET)
