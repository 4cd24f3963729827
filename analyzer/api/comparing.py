"""Several models on one probe, or one model on several: audited one after another and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from analyzer.api.audit_result import Audit, Progress
from analyzer.api.auditing import Model, audit
from analyzer.api.guarded_files import guarded_files
from analyzer.errors import InputError
from analyzer.facts.history import Course, LayerCourse, RunSummary, course_of
from analyzer.report.compare import to_dict, to_text
from analyzer.report.output_files import check_output, write_whole


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """What a comparison found: `layers[i].change()` lists the units that died, revived and stayed dead."""

    facts: Course
    audits: tuple[Audit, ...]
    _inputs: tuple[Path, ...] = ()  # files that must never be written over

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """The audits in order, in short."""
        return self.facts.runs

    @property
    def layers(self) -> tuple[LayerCourse, ...]:
        """Every layer over all runs."""
        return self.facts.layers

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dicts by the schema `deadunits.compare/1`."""
        return to_dict(self.facts)

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict()` to a file, whole or not at all.

        Raises:
            OutputError: the file cannot be written, or is one of the comparison's own inputs.
        """
        write_whole(check_output(path, self._inputs), to_text(self.facts))

    def __repr__(self) -> str:
        died, revived, stayed = self.facts.total()
        return f"<Compared {len(self.runs)} runs: {died} units died, {revived} revived, {stayed} stayed dead>"


def compare(
    models: Model | Sequence[Model],
    probe: Any = None,
    *,
    probes: Sequence[Any] | None = None,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Compared:
    """Audit several models on one probe, or one model on several probes, and say which units died or revived.

    Args:
        models: two or more models (checkpoints of a training run in their order), or one.
        probe: the data that all models are run on; it must be readable once for each.
        probes: two or more data sets, for one model, instead of `probe`.
        labels: a name for each run; otherwise file names.
        progress: called as samples are run, the stage's name preceded by the run's label.
        options: as for `audit`. Causes are not asked for unless `causes=True`.

    Raises:
        InputError: a model, the data or the call cannot be used.
    """
    several = list(models) if isinstance(models, Sequence) and not isinstance(models, str | bytes) else [models]
    pairs = _pairs(several, probe, probes)
    given = [probes[i] if probes else several[i] for i in range(len(pairs))]
    named = list(labels) if labels is not None else _labels(given)
    if len(named) != len(pairs):
        raise InputError(f"{len(named)} labels were given for {len(pairs)} runs: give one for each.")
    audits = []
    for label, (model, data) in zip(named, pairs, strict=True):
        report = None if progress is None else _labelled(progress, label)
        audits.append(audit(model, data, progress=report, **{"causes": False, **options}))
    files = (*guarded_files(probe, *(probes or ())), *(path for found in audits for path in found._inputs))
    return Compared(course_of([found.facts for found in audits], named), tuple(audits), tuple(dict.fromkeys(files)))


def _pairs(models: Sequence[Any], probe: Any, probes: Sequence[Any] | None) -> list[tuple[Any, Any]]:
    if probes is not None:
        if probe is not None or len(models) != 1 or len(probes) < 2:
            raise InputError("Several probes are compared on one model: give one model and at least two probes.")
        return [(models[0], data) for data in probes]
    if len(models) < 2:
        raise InputError("There is nothing to compare: give at least two models, or one model and two probes.")
    return [(model, probe) for model in models]


def _labels(given: Sequence[Any]) -> list[str]:
    """File names, with as much of the folders before them as it takes to tell them apart; else numbers."""
    if not all(isinstance(one, str | Path) for one in given):
        return [str(number) for number in range(1, len(given) + 1)]
    parts = [PurePath(one).parts for one in given]
    for depth in range(1, max(len(p) for p in parts) + 1):
        labels = ["/".join(p[-depth:]) for p in parts]
        if len(set(labels)) == len(set(parts)):
            break
    return [label.removesuffix("/model.onnx").removesuffix(".onnx") for label in labels]


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(f"{label}: {stage}", done, total)
