"""The sentences that several formats share."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.evidence import Evidence
from analyzer.facts.history import Course, Descent, LayerCourse
from analyzer.facts.units import Units
from analyzer.facts.wording import INDEPENDENCE_STATED, counted, number, share, unit_ranges
from analyzer.report.phrases import domain_stated, printable, remarks

EVIDENCE_WORDS = ("by weights", "proven", "open", "refuted")  # in the order of `Evidence`, over a domain


def came_from(course: Course, descent: Descent) -> str:
    """`small was made from model: 8,758 of 10,730 parameters went (81.6 %)`."""
    original, made = course.runs[descent.original], course.runs[descent.made]
    before, after = original.model.parameters, made.model.parameters
    went = f": {number(before - after)} of {counted(before, 'parameter')} went ({share(before - after, before)})"
    said = f"{printable(made.label)} was made from {printable(original.label)}"
    return said + (", with as many parameters" if after == before else went)


def for_certain(course: Course) -> str:
    """What died and revived for every input of the domain, and how much that the probe shows is not so over it."""
    died, revived = course.for_every_input()
    said = f"For every input of the domain {number(died)} died and {number(revived)} revived for certain"
    only = course.shown_by(lambda change: change.died, -1)[Evidence.REFUTED]
    never = course.shown_by(lambda change: change.revived, 0)[Evidence.REFUTED]
    parts = [f"{number(only)} of those that died on the probe are moved by other inputs"] * bool(only)
    parts += [f"{number(never)} of those that revived were moved by other inputs before"] * bool(never)
    return "; ".join([said, *parts])


def by_evidence(course: Course) -> list[tuple[str, list[int]]]:
    """What died, revived and stayed, in the run in which it is dead, and how many of it each kind of evidence shows."""
    first, last = (printable(course.runs[place].label) for place in (0, -1))
    rows = [
        (f"died, in {last}", -1, lambda change: change.died),
        (f"revived, in {first}", 0, lambda change: change.revived),
        (f"stayed dead, in {first}", 0, lambda change: change.stayed),
        (f"stayed dead, in {last}", -1, lambda change: change.stayed),
    ]
    counts = [(name, course.shown_by(which, run)) for name, run, which in rows]
    return [(name, [found[kind] for kind in Evidence]) for name, found in counts]


def evident_ranges(layer: LayerCourse, units: Units, run: int, most: int) -> str:
    """`0-3, 7`, and where a domain was stated by what shows in a run that they are dead: `0-3 proven; 7 refuted`."""
    shown = layer.shown_by(units, run)
    if not shown:
        return unit_ranges(units, most)
    words = dict(zip(Evidence, EVIDENCE_WORDS, strict=True))
    return "; ".join(f"{unit_ranges(part, most)} {words[kind]}" for kind, part in shown.items())


def domains_said(course: Course) -> list[str]:
    """The domain of all runs, or of each where they differ."""
    proofs = [run.proof for run in course.runs if run.proof is not None]
    said = [domain_stated(p.domain) + ", CONDITIONAL" * p.domain.conditional for p in proofs]
    if len({proof.domain.digest for proof in proofs}) <= 1:
        return said[:1]
    return [f"{printable(run.label)}: {domain}" for run, domain in zip(course.runs, said, strict=True)]


def doubts(course: Course) -> Iterator[str]:
    """What limits the comparison as a whole."""
    for place, run in enumerate(course.runs, start=1):
        if run.judged.little and run.probe is not None:
            yield f"run {place} judged: {run.judged.shares}"
        for remark in remarks(run.proof):
            yield f"run {place}: {printable(remark)}"
    if any(run.independence_stated for run in course.runs):
        yield INDEPENDENCE_STATED
    if len({run.proof.domain.digest for run in course.runs if run.proof is not None}) > 1:
        yield "the runs have different domains: what is proven of one is about other inputs than of another"


def about_data(course: Course, place: int) -> Iterator[str]:
    """What is odd about the data of a run."""
    probe = course.runs[place].probe
    if probe is not None and probe.random:
        yield "RANDOM DATA"
    if probe is not None and probe.condition is not None and probe.condition.nonfinite:
        yield "NAN OR INFINITY IN THE DATA"
    if probe is not None and probe.skipped:
        yield f"{number(len(probe.skipped))} broken and skipped"
