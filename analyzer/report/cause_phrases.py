"""The part of the terminal report that says why units are dead, how near they are to waking, and what may help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from analyzer.facts.audit import AuditFacts
from analyzer.facts.causes import SUMMARIES, CauseCode, LayerDiagnosis, UnitCause
from analyzer.facts.remedies import ADVICE, FAR
from analyzer.facts.wording import counted, number
from analyzer.report.console import QUIET, indented
from analyzer.report.phrases import printable, shortened

CAUSES_SHOWN = 4
NEAREST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Group:
    """All units of one cause, over all layers."""

    code: CauseCode
    units: int
    layers: int
    example: str


def why(facts: AuditFacts, *, show_all: bool = False) -> Iterator[RenderableType]:
    """The lines of the section; nothing where no cause is known. `show_all` adds a histogram for each layer."""
    counted_values = {layer.value for layer in facts.layers}
    diagnoses = [diagnosis for diagnosis in facts.diagnoses if diagnosis.value in counted_values and diagnosis.causes]
    groups = _groups(diagnoses)
    if not groups:
        return
    yield Text("\nWhy", "bold")
    for group in groups if show_all else groups[:CAUSES_SHOWN]:
        yield _cause(group, example=show_all)
    if len(groups) > CAUSES_SHOWN and not show_all:
        rest = sum(group.units for group in groups[CAUSES_SHOWN:])
        yield indented(
            f"{counted(rest, 'unit')} of {counted(len(groups) - CAUSES_SHOWN, 'other cause')} (--all)", QUIET
        )
    yield from _fragility(diagnoses)
    if show_all:
        yield from (indented(line, QUIET, by=4) for diagnosis in diagnoses for line in _histogram(diagnosis))
    yield from _help(groups)


def _groups(diagnoses: Sequence[LayerDiagnosis]) -> list[_Group]:
    units: Counter[CauseCode] = Counter()
    layers: Counter[CauseCode] = Counter()
    example: dict[CauseCode, str] = {}
    for diagnosis in diagnoses:
        for code, count in diagnosis.counts().items():
            units[code] += count
            layers[code] += 1
        for cause in diagnosis.causes:
            if cause.code not in example:
                example[cause.code] = f"{shortened(diagnosis.value, 32)}:{cause.unit}: {_sentence(cause)}"
    return [_Group(code, count, layers[code], example[code]) for code, count in units.most_common()]


def _sentence(cause: UnitCause) -> str:
    root = "" if cause.root is None else f" (root: {shortened(cause.root[0], 32)}:{cause.root[1]})"
    return cause.detail + root


def _cause(group: _Group, *, example: bool) -> RenderableType:
    line = Text()
    line.append(f"{counted(group.units, 'unit')}  ", "bold")
    line.append(group.code, "yellow")
    line.append(f"  {SUMMARIES[group.code]}")
    example_text = f", e.g. {printable(group.example)}" if example else ""
    line.append(f"  in {counted(group.layers, 'layer')}{example_text}", QUIET)
    return indented(line)


def _fragility(diagnoses: Sequence[LayerDiagnosis]) -> Iterator[RenderableType]:
    """How many units may wake soon, and which is nearest."""
    known = [
        (cause.distance, diagnosis.value, cause.unit)
        for diagnosis in diagnoses
        for cause in diagnosis.causes
        if cause.distance is not None
    ]
    if not known:
        return
    near = sum(distance < FAR for distance, _, _ in known)
    nearest = ", ".join(f"{shortened(value, 32)}:{unit} ({d:.2g})" for d, value, unit in sorted(known)[:NEAREST_SHOWN])
    yield indented(
        f"Fragile: {number(near)} of {number(len(known))} measured units lie within {FAR:g} standard deviations of "
        f"leaving the flat region, nearest {printable(nearest)}"
    )


def _histogram(diagnosis: LayerDiagnosis) -> Iterator[str]:
    bins = diagnosis.histogram()
    if any(count for _, count in bins):
        texts = [f"≥ {edge:g}: {count}" for edge, count in bins if count]
        yield f"{printable(diagnosis.value)}: units by distance in standard deviations  {', '.join(texts)}"


def _help(groups: Sequence[_Group]) -> Iterator[RenderableType]:
    """The first advice for the two most frequent causes: the rest is in the documentation and the JSON report."""
    sentences = dict.fromkeys(ADVICE[group.code][0] for group in groups[:2] if ADVICE[group.code])
    yield from (indented(f"May help: {sentence}", QUIET) for sentence in sentences)
