"""The page of a comparison: what died and revived, over all runs, for each layer, and unit by unit under a slider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.facts.evidence import Evidence
from analyzer.facts.history import Change, Course, LayerCourse
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
from analyzer.report.html.document import as_text, document
from analyzer.report.html.packed import zipped
from analyzer.report.phrases import full_name, largest, printable

MOST_STATES = 8_000_000  # units times runs that the slider carries
STEPS_SHOWN = 500  # rows of the table that says which units changed when
STEPS_OPEN = 40  # more are folded in on the screen
RANGES_SHOWN = 30  # pieces of a list of units; the JSON report has all
WIDTH, HEIGHT, WIDEST = 180, 26, 14  # pixels of the small picture of a layer's course, and of a run in it


_STATES = {Evidence.STRUCTURAL: 4, Evidence.PROVEN: 4, Evidence.OBSERVED: 1, Evidence.REFUTED: 3}


@dataclass(frozen=True, slots=True)
class Step:
    """Units of one layer that died or revived from a run to the next: `0-3, 7`; over a domain, what shows it."""

    layer: LayerCourse
    place: int
    died: str
    revived: str


def to_text(course: Course) -> str:
    """The comparison as one HTML page that works offline."""
    telling = [layer for layer in course.layers if layer.dead_in_some]
    carried = _carried(telling, len(course.runs))
    steps = [step for layer in telling for step in _steps(layer)]
    shown = largest(steps, STEPS_SHOWN, lambda step: len(step.died) + len(step.revived))
    bar = max(2, min(WIDEST, WIDTH // len(course.runs)))
    names = {
        "runs": [printable(run.label) for run in course.runs],
        "units": [run.units for run in course.runs],
        "dead": [run.dead for run in course.runs],
        "layers": [
            {"name": printable(full_name(layer.value, layer.module)), "units": layer.units} for layer in carried
        ],
    }
    return document(
        "course.html.j2",
        ("course.js",),
        {"names": as_text(names), "states": zipped(b"".join(_states(layer) for layer in carried))},
        course=course,
        total=course.total(),
        descents=[(came_from(course, descent), descent.narrowed) for descent in course.descents],
        over_domain=for_certain(course) if course.over_domain else "",
        domains=domains_said(course),
        evidence=[row for row in by_evidence(course) if any(row[1])],
        evidence_words=EVIDENCE_WORDS,
        doubts=list(doubts(course)),
        about_data=[list(about_data(course, place)) for place in range(len(course.runs))],
        layers=[(layer, layer.change() or Change((), (), ()), _drawn(layer, bar)) for layer in telling],
        carried=len(carried),
        changed=sum(change.any for layer in telling if (change := layer.change()) is not None),
        unmatched=[(layer, _runs_with(course, layer)) for layer in course.unmatched],
        steps=shown,
        steps_open=len(shown) <= STEPS_OPEN,
        more_steps=len(steps) - len(shown),
        strip_width=bar * len(course.runs),
        strip_height=HEIGHT,
    )


def _carried(layers: Sequence[LayerCourse], runs: int) -> list[LayerCourse]:
    """The layers that the slider shows, in order: those that change most where there are too many."""
    order = sorted(layers, key=lambda layer: -sum(len(step.died) + len(step.revived) for step in _changes(layer)))
    left, kept = MOST_STATES, set()
    for layer in order:
        if layer.units * runs <= left:
            left -= layer.units * runs
            kept.add(id(layer))
    return [layer for layer in layers if id(layer) in kept]


def _changes(layer: LayerCourse) -> Iterator[Change]:
    for place in range(len(layer.dead) - 1):
        yield layer.change(place, place + 1) or Change((), (), ())


def _steps(layer: LayerCourse) -> Iterator[Step]:
    for place, change in enumerate(_changes(layer)):
        if change.any:
            died = evident_ranges(layer, change.died, place + 1, RANGES_SHOWN)
            yield Step(layer, place, died, evident_ranges(layer, change.revived, place, RANGES_SHOWN))


def _states(layer: LayerCourse) -> bytes:
    """Run after run a byte per unit: 1 is dead, 0 is not, 2 says that the run lacks the layer.

    Over a domain 3 is dead on the data only, and 4 for every input.
    """
    states = np.zeros((len(layer.dead), layer.units), np.uint8)
    for run, (row, dead) in enumerate(zip(states, layer.dead, strict=True)):
        row[slice(None) if dead is None else list(dead)] = 2 if dead is None else 1
        for kind, units in layer.shown_by(dead or (), run).items():
            row[list(units)] = _STATES[kind]
    return states.tobytes()


def _runs_with(course: Course, layer: LayerCourse) -> str:
    return ", ".join(run.label for run, name in zip(course.runs, layer.names, strict=True) if name is not None)


def _drawn(layer: LayerCourse, bar: int) -> str:
    """The path of bars, one per run, as high as the share of dead units; something dead is never nothing."""
    bars = []
    for place, part in enumerate(layer.shares()):
        high = max(round(HEIGHT * part), 1) if part else 0
        bars.append(f"M{bar * place},{HEIGHT}v-{high}h{bar - 1}v{high}z" if high else "")
    return "".join(bars)
