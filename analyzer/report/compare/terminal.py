"""A comparison of audits for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from analyzer.facts.history import Change, Course, Descent, LayerCourse
from analyzer.facts.wording import INDEPENDENCE_STATED, counted, number, share, unit_ranges
from analyzer.report.console import HEAD, QUIET, heading, layer_cells, plain, put, table
from analyzer.report.phrases import full_name, largest, printable, shortened

RUNS_SHOWN = 6  # columns of a long course; --json has all
LAYERS_SHOWN = 20
NARROWED_SHOWN = 3
UNITS_SHOWN = 8  # layers whose units are named


def to_text(course: Course) -> str:
    """The comparison without colours, for a file."""
    return plain(lambda console: render(course, console))


def render(course: Course, console: Console, *, show_all: bool = False) -> None:
    """Print the comparison; `show_all` lists every layer, unit and run."""
    put(console, *_sections(course, console.width, show_all))


def _sections(course: Course, width: int, show_all: bool) -> Iterator[RenderableType]:
    runs = _shown_runs(course, show_all)
    yield _runs(course)
    for descent in course.descents:
        yield _descent(course, descent)
    yield _answer(course)
    for place, run in enumerate(course.runs, start=1):
        if run.judged.little and run.probe is not None:
            yield Text(f"run {place} judged: {run.judged.shares}", "bold yellow")
    if any(run.independence_stated for run in course.runs):
        yield Text(INDEPENDENCE_STATED, QUIET)
    yield from _layers(course, runs, width, show_all)
    yield from _units(course, width, show_all)
    if course.unmatched:
        names = ", ".join(
            shortened(layer.module or layer.value, 32) for layer in course.unmatched[: None if show_all else 3]
        )
        ending = "" if show_all or len(course.unmatched) <= 3 else ", …"
        yield Text(f"\n{counted(len(course.unmatched), 'layer')} not found in every run: {names}{ending}", QUIET)


def _runs(course: Course) -> RenderableType:
    rows = table(("", "run"), ("samples", "units", "dead", "", "judged"))
    rows.columns[1].no_wrap = False  # labels may be long
    for place, run in enumerate(course.runs, start=1):
        samples = "no probe" if run.probe is None else number(run.probe.samples)
        label = printable(run.label) + ("  RANDOM DATA" if run.probe is not None and run.probe.random else "")
        if run.probe is not None and run.probe.condition is not None and run.probe.condition.nonfinite:
            label += "  NAN OR INFINITY IN THE DATA"
        if run.probe is not None and run.probe.skipped:
            label += f"  {number(len(run.probe.skipped))} broken and skipped"
        dead = Text(number(run.dead), "red" if run.dead else "")
        ratio = share(run.dead, run.units)
        judged = Text(run.judged.least_shown, "yellow" if run.judged.little else QUIET)
        rows.add_row(Text(str(place), QUIET), Text(label), samples, number(run.units), dead, ratio, judged)
    return rows


def _descent(course: Course, descent: Descent) -> RenderableType:
    """What was cut of a model that another run has whole."""
    original, made = course.runs[descent.original], course.runs[descent.made]
    before, after = original.model.parameters, made.model.parameters
    line = Text(f"\n{printable(made.label)} was made from {printable(original.label)}", HEAD)
    if after == before:
        return line.append(", with as many parameters")
    line.append(f": {number(before - after)} of {counted(before, 'parameter')} went ({share(before - after, before)})")
    shown = descent.narrowed[:NARROWED_SHOWN]
    widths = ", ".join(f"{shortened(n.module or n.value, 32)} {n.units_then} → {n.units_now}" for n in shown)
    more = f", and {number(len(descent.narrowed) - len(shown))} more" if len(descent.narrowed) > len(shown) else ""
    return line.append(f"; narrower: {widths}{more}" if shown else "")


def _answer(course: Course) -> RenderableType:
    died, revived, stayed = course.total()
    first, last = course.runs[0], course.runs[-1]
    line = Text("\n")
    line.append(f"{counted(died, 'unit')} died", "bold red" if died else "bold")
    line.append(f", {number(revived)} revived", "bold green" if revived else "bold")
    line.append(f", {number(stayed)} stayed dead")
    line.append(f"  from {printable(first.label)} to {printable(last.label)}", QUIET)
    return line


def _layers(course: Course, runs: Sequence[int], width: int, show_all: bool) -> Iterator[RenderableType]:
    telling = [layer for layer in course.layers if any(layer.dead)]
    shown = list(course.layers) if show_all else largest(telling, LAYERS_SHOWN, _changes)
    if not shown:
        return
    rows = table(("layer", "op"), ("units", *(f"dead {i + 1}" for i in runs), "died", "revived"))
    names = layer_cells([(layer.value, layer.module) for layer in shown], max(width - 40 - 8 * len(runs), 16))
    for layer, name in zip(shown, names, strict=True):
        change = layer.change() or Change((), (), ())
        rows.add_row(
            name,
            Text(printable(layer.op), QUIET),
            number(layer.units),
            *(_dead(layer, run) for run in runs),
            Text(_or_dot(change.died), "red" if change.died else QUIET),
            Text(_or_dot(change.revived), "green" if change.revived else QUIET),
        )
    yield heading("Layers")
    yield rows
    if len(shown) < len(course.layers):
        yield Text(f"  {number(len(course.layers) - len(shown))} more not shown (--all shows every layer)", QUIET)


def _units(course: Course, width: int, show_all: bool) -> Iterator[RenderableType]:
    changed = [(layer, change) for layer in course.layers if (change := layer.change()) is not None and change.any]
    if not changed:
        return
    yield heading("Units")
    most = 10**6 if show_all else 8
    for layer, change in changed if show_all else changed[:UNITS_SHOWN]:
        for word, units, style in (("died", change.died, "red"), ("revived", change.revived, "green")):
            if units:
                line = Text(f"  {shortened(full_name(layer.value, layer.module), max(width // 2, 16))} ")
                line.append(f"{word} ", style)
                line.append(unit_ranges(units, most))
                yield line
    if len(changed) > UNITS_SHOWN and not show_all:
        yield Text(f"  and {counted(len(changed) - UNITS_SHOWN, 'more layer')} (--all)", QUIET)


def _shown_runs(course: Course, show_all: bool) -> list[int]:
    """All runs, or of a long course some that lie evenly between the first and the last."""
    last = len(course.runs) - 1
    if show_all or last < RUNS_SHOWN:
        return list(range(last + 1))
    return sorted({round(step * last / (RUNS_SHOWN - 1)) for step in range(RUNS_SHOWN)})


def _changes(layer: LayerCourse) -> int:
    change = layer.change()
    return 0 if change is None else len(change.died) + len(change.revived)


def _dead(layer: LayerCourse, run: int) -> Text:
    dead = layer.dead[run]
    if dead is None:
        return Text("-", QUIET)
    return Text(_or_dot(dead), "" if dead else QUIET)


def _or_dot(units: Sequence[int]) -> str:
    return number(len(units)) if units else "·"
