"""The sentences that several formats share."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.history import Course, Descent
from analyzer.facts.wording import INDEPENDENCE_STATED, counted, number, share
from analyzer.report.phrases import printable


def came_from(course: Course, descent: Descent) -> str:
    """`small was made from model: 8,758 of 10,730 parameters went (81.6 %)`."""
    original, made = course.runs[descent.original], course.runs[descent.made]
    before, after = original.model.parameters, made.model.parameters
    went = f": {number(before - after)} of {counted(before, 'parameter')} went ({share(before - after, before)})"
    said = f"{printable(made.label)} was made from {printable(original.label)}"
    return said + (", with as many parameters" if after == before else went)


def doubts(course: Course) -> Iterator[str]:
    """What limits the comparison as a whole."""
    for place, run in enumerate(course.runs, start=1):
        if run.judged.little and run.probe is not None:
            yield f"run {place} judged: {run.judged.shares}"
    if any(run.independence_stated for run in course.runs):
        yield INDEPENDENCE_STATED


def about_data(course: Course, place: int) -> Iterator[str]:
    """What is odd about the data of a run."""
    probe = course.runs[place].probe
    if probe is not None and probe.random:
        yield "RANDOM DATA"
    if probe is not None and probe.condition is not None and probe.condition.nonfinite:
        yield "NAN OR INFINITY IN THE DATA"
    if probe is not None and probe.skipped:
        yield f"{number(len(probe.skipped))} broken and skipped"
