"""A comparison of audits for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from analyzer.facts.history import Change, Course, Descent, LayerCourse
from analyzer.facts.wording import counted, cut_apart, cut_in_the_middle, number, share
from analyzer.report.compare.sentences import (
    EVIDENCE_WORDS,
    about_data,
    by_evidence,
    came_from,
    domains_said,
    doubts,
    evident_ranges,
    for_certain,
)
from analyzer.report.console import (
    GAP,
    HEAD,
    LEAST_NAME,
    QUIET,
    Column,
    fitting,
    heading,
    indented,
    layer_cells,
    plain,
    put,
    room_for_names,
    table_of,
)
from analyzer.report.phrases import full_name, largest, printable

RUNS_SHOWN = 6  # columns of a long course; --json has all
LAYERS_SHOWN = 20
NARROWED_SHOWN = 3
OP = 14
UNITS_SHOWN = 8  # layers whose units are named


def to_text(course: Course) -> str:
    """The comparison without colours, for a file."""
    return plain(lambda console: render(course, console))


def render(course: Course, console: Console, *, show_all: bool = False) -> None:
    """Print the comparison; `show_all` lists every layer, unit and run."""
    put(console, *_sections(course, console.width, show_all))


def _sections(course: Course, width: int, show_all: bool) -> Iterator[RenderableType]:
    yield _runs(course, width)
    for descent in course.descents:
        yield from _descent(course, descent, show_all)
    yield Text()
    yield _answer(course)
    if course.over_domain:
        yield indented(for_certain(course), by=0)
        yield from (indented(f"Domain: {domain}", QUIET, by=0) for domain in domains_said(course))
    for doubt in doubts(course):
        yield indented(doubt, "bold yellow", by=0)
    yield from _evidence(course, width)
    yield from _layers(course, width, show_all)
    yield from _units(course, width, show_all)
    if course.unmatched:
        shown = course.unmatched[: None if show_all else 3]
        names = cut_apart((printable(layer.module or layer.value) for layer in shown), 32)
        ending = "" if len(shown) == len(course.unmatched) else ", …"
        yield Text()
        text = f"{counted(len(course.unmatched), 'layer')} not found in every run: {', '.join(names.values())}{ending}"
        yield indented(text, QUIET, by=0)


def _runs(course: Course, width: int) -> RenderableType:
    samples = [None if run.probe is None else run.probe.samples for run in course.runs]
    columns = fitting(
        [
            Column("samples", ["no probe" if count is None else number(count) for count in samples], 2),
            Column("units", [number(run.units) for run in course.runs], 3),
            Column("dead", [Text(number(run.dead), "red" if run.dead else "") for run in course.runs]),
            Column("", [share(run.dead, run.units) for run in course.runs]),
            Column(
                "judged", [Text(r.judged.least_shown, "yellow" if r.judged.little else QUIET) for r in course.runs], 1
            ),
        ],
        width,
    )
    places = len(str(len(course.runs)))
    room = room_for_names(columns, width) - places - GAP
    names = cut_apart((printable(run.label) for run in course.runs), room)
    labels = []
    for place, run in enumerate(course.runs):
        label = Text(f"{place + 1:>{places}}", QUIET).append(f"{'':{GAP}}{names[printable(run.label)]}", "none")
        for doubt in about_data(course, place):
            label.append(f"\n{'':{places + GAP}}{doubt}", "bold yellow")
        labels.append(label)
    return table_of(f"{'':{places + GAP}}run", labels, columns)


def _descent(course: Course, descent: Descent, show_all: bool) -> Iterator[RenderableType]:
    """What was cut of a model that another run has whole."""
    yield Text()
    yield indented(f"{came_from(course, descent)}.", HEAD, by=0)
    shown = descent.narrowed if show_all else descent.narrowed[:NARROWED_SHOWN]
    names = cut_apart((printable(layer.module or layer.value) for layer in shown), 32)
    widths = [
        f"{names[printable(layer.module or layer.value)]} from {number(layer.units_then)} to {number(layer.units_now)}"
        for layer in shown
    ]
    more = len(descent.narrowed) - len(shown)
    others = f", and {counted(more, 'other layer')}" if more else ""
    if shown:
        yield indented(f"Fewer units: {', '.join(widths)}{others}.", by=0)


def _answer(course: Course) -> RenderableType:
    died, revived, stayed = course.total()
    first, last = course.runs[0], course.runs[-1]
    line = Text()
    line.append(f"{counted(died, 'unit')} died", "bold red" if died else "bold")
    line.append(f", {number(revived)} revived", "bold green" if revived else "bold")
    line.append(f", {number(stayed)} stayed dead")
    line.append(f"  from {printable(first.label)} to {printable(last.label)}", QUIET)
    return indented(line, by=0)


def _evidence(course: Course, width: int) -> Iterator[RenderableType]:
    """What shows over the domain that units are dead, where one was stated."""
    rows = [(name, counts) for name, counts in by_evidence(course) if any(counts)]
    if not rows:
        return
    columns = [
        Column(word, [_count(range(counts[place]), "") for _, counts in rows])
        for place, word in enumerate(EVIDENCE_WORDS)
    ]
    names = cut_apart((name for name, _ in rows), room_for_names(columns, width))
    yield heading("Evidence over the domain")
    yield table_of("units", [Text(names[name]) for name, _ in rows], columns)


def _layers(course: Course, width: int, show_all: bool) -> Iterator[RenderableType]:
    telling = [layer for layer in course.layers if layer.dead_in_some]
    shown = list(course.layers) if show_all else largest(telling, LAYERS_SHOWN, _changes)
    if not shown:
        return
    columns = _columns(course, shown, width, show_all)
    yield heading("Layers")
    names = layer_cells([(layer.value, layer.module) for layer in shown], room_for_names(columns, width))
    yield table_of("layer", names, columns)
    if len(shown) < len(course.layers):
        yield indented(f"{number(len(course.layers) - len(shown))} more not shown (--all shows every layer)", QUIET)


def _columns(course: Course, shown: Sequence[LayerCourse], width: int, show_all: bool) -> list[Column]:
    """As many runs as there is room for, evenly between the first and the last."""
    changes = [layer.change() or Change((), (), ()) for layer in shown]
    ends = [
        Column("died", [_count(change.died, "red") for change in changes]),
        Column("revived", [_count(change.revived, "green") for change in changes]),
    ]
    for most in range(len(course.runs) if show_all else RUNS_SHOWN, 1, -1):
        runs = [Column(f"dead {run + 1}", [_dead(layer, run) for layer in shown]) for run in _evenly(course, most)]
        columns = [
            Column("op", [Text(cut_in_the_middle(printable(layer.op), OP), QUIET) for layer in shown], 2, right=False),
            Column("units", [number(layer.units) for layer in shown], 1),
            *runs,
            *ends,
        ]
        kept = fitting(columns, width)
        if room_for_names(kept, width) >= LEAST_NAME:
            break
    return kept


def _units(course: Course, width: int, show_all: bool) -> Iterator[RenderableType]:
    changed = [(layer, change) for layer in course.layers if (change := layer.change()) is not None and change.any]
    if not changed:
        return
    yield heading("Units")
    most = 10**6 if show_all else 8
    shown = changed if show_all else changed[:UNITS_SHOWN]
    names = cut_apart((printable(full_name(a.value, a.module)) for a, _ in shown), max(width // 2, LEAST_NAME))
    for layer, change in shown:
        for word, units, style, run in (("died", change.died, "red", -1), ("revived", change.revived, "green", 0)):
            if units:
                line = Text(f"{names[printable(full_name(layer.value, layer.module))]} ")
                yield indented(line.append(f"{word} ", style).append(evident_ranges(layer, units, run, most)))
    if len(changed) > len(shown):
        yield indented(f"and {counted(len(changed) - len(shown), 'more layer')} (--all)", QUIET)


def _evenly(course: Course, most: int) -> list[int]:
    """All runs, or of a long course some that lie evenly between the first and the last."""
    last = len(course.runs) - 1
    if last < most:
        return list(range(last + 1))
    return sorted({round(step * last / (most - 1)) for step in range(most)})


def _changes(layer: LayerCourse) -> int:
    change = layer.change()
    return 0 if change is None else len(change.died) + len(change.revived)


def _dead(layer: LayerCourse, run: int) -> Text:
    dead = layer.dead[run]
    return Text("-", QUIET) if dead is None else _count(dead, "")


def _count(units: Sequence[int], style: str) -> Text:
    return Text(number(len(units)), style) if units else Text("·", QUIET)
