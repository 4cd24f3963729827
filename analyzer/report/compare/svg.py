"""A comparison as one picture: how much of each layer is dead in each run."""

from __future__ import annotations

from analyzer.facts.history import Course, LayerCourse
from analyzer.facts.wording import counted, number, share
from analyzer.report.compare.sentences import for_certain
from analyzer.report.phrases import full_name, largest
from analyzer.report.svg.grid import Cell, Grid, to_svg

LAYERS_SHOWN = 60


def to_text(course: Course) -> str:
    """The picture as SVG."""
    died, revived, stayed = course.total()
    first, last = course.runs[0], course.runs[-1]
    lines = [f"from {first.label} to {last.label}; {number(stayed)} stayed dead",
             f"dead then {share(first.dead, first.units)}, now {share(last.dead, last.units)}"]  # fmt: skip
    lines += for_certain(course).split("; ") if course.over_domain else []
    layers = largest(course.layers, LAYERS_SHOWN, lambda layer: max(s or 0.0 for s in layer.shares()))
    hidden = len(course.layers) - len(layers)
    left_out = f"; {counted(hidden, 'layer')} not shown" if hidden else ""
    grid = Grid(
        tuple(layer.module or layer.value for layer in layers),
        tuple(run.label for run in course.runs),
        tuple(_row(course, layer) for layer in layers),
        cell_height=18,
    )
    headline = f"{counted(died, 'unit')} died, {number(revived)} revived"
    return to_svg(headline, "", lines, grid, f"share of a layer's units that are dead, by run{left_out}", "#b3261e")


def _row(course: Course, layer: LayerCourse) -> tuple[Cell, ...]:
    name = full_name(layer.value, layer.module)
    cells = []
    for run, dead, part in zip(course.runs, layer.dead, layer.shares(), strict=True):
        said = "not there" if dead is None else f"{len(dead)} of {counted(layer.units, 'unit')} dead"
        cells.append(Cell(part, f"{name}, {run.label}: {said}"))
    return tuple(cells)
