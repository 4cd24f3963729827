"""Several models on one probe, or one model on several: audited one after another and held against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar

from analyzer.api.audit_result import Audit
from analyzer.api.auditing import Model, audit
from analyzer.api.options import Data, Progress, Run, provider_of
from analyzer.api.reporting import WithPage
from analyzer.api.with_proof import check_claims
from analyzer.errors import InputError, ProofContradicted
from analyzer.facts.addresses import without_secrets
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.history import Course, LayerCourse, RunSummary, course_of
from analyzer.facts.thresholds import Thresholds
from analyzer.report.console import ReportConsole


@dataclass(frozen=True, eq=False, repr=False)
class Compared(WithPage):
    """What a comparison found: `layers[i].change()` lists the units that died, revived and stayed dead."""

    _command: ClassVar[str] = "compare"
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

    def show(self, *, show_all: bool = False) -> None:
        """Print the report for a person; `show_all` shows every layer, unit and run."""
        from analyzer.report.compare.terminal import render

        render(self.facts, ReportConsole(), show_all=show_all)

    def _repr_html_(self) -> str:
        """What a notebook shows: how many units died and revived, and where."""
        from analyzer.report.notebook import render_course

        return render_course(self.facts)

    def __repr__(self) -> str:
        died, revived, stayed = self.facts.total()
        return f"<Compared {len(self.runs)} runs: {died} units died, {revived} revived, {stayed} stayed dead>"


def compare(
    models: Model | Sequence[Model],
    data: Data | Any = None,
    *,
    probes: Sequence[Data | Any] | None = None,
    providers: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    causes: bool = False,
    domain: Any = None,
    budget: float = 60.0,
    progress: Progress | None = None,
) -> Compared:
    """Audit several models on one probe, or one model on several probes, and say which units died or revived.

    One model on one probe can be held against itself on several providers, too: which units die on the device.

    Args:
        models: two or more models (checkpoints of a training run in their order), or one.
        data: what all models are run on, as for `audit()`; it must be readable once for each.
        probes: two or more data sets, for one model, instead of `data`; or statistics, one for each of several models.
        providers: two or more execution providers, for one model on one probe (`Run.provider`).
        labels: a name for each run; otherwise file names.
        run: as for `audit()`.
        thresholds: as for `audit()`.
        causes: as for `audit()`.
        domain: as for `audit()`: what each run shows is held against all inputs of it, and each unit that died or
            revived has evidence in the run in which it is dead.
        budget: seconds that the search for inputs which refute a claim may take, for each run.
        progress: called as samples are run, the stage's name preceded by the run's label.

    Raises:
        InputError: a model, the data or the call cannot be used.
        ProofContradicted: an input does what was proven to be impossible: a bug of ours.
    """
    several = list(models) if isinstance(models, Sequence) and not isinstance(models, str | bytes) else [models]
    runs = _runs(Run.of(run), providers, several, probes)
    pairs = [(several[0], Data.of(data))] * len(runs) if providers else _pairs(several, data, probes)
    sources = several if len(several) > 1 else [_source(source) for _, source in pairs]
    named = list(labels) if labels is not None else _labels(sources)
    if labels is None and providers:
        named = [provider_of(on).short for on in runs]
    if len(named) != len(pairs):
        raise InputError(f"{len(named)} labels were given for {len(pairs)} runs: give one for each.")
    for _, source in pairs:
        check_claims(source, domain)
    audits, held = list[Audit](), {"domain": domain, "budget": budget}
    for label, (model, source), on in zip(named, pairs, runs if providers else runs * len(pairs), strict=True):
        report = None if progress is None else _labelled(progress, label)
        audits.append(audit(model, source, run=on, thresholds=thresholds, causes=causes, progress=report, **held))
    _check_proofs(audits)
    files = dict.fromkeys(path for audited in audits for path in audited._inputs)
    return Compared(course_of([audited.facts for audited in audits], named), tuple(audits), tuple(files))


def _check_proofs(audits: Sequence[Audit]) -> None:
    """Hold what is proven in one run against what another one of the same model shows on inputs of the same domain.

    Raises:
        ProofContradicted: a unit moves there that is proven to be dead.
    """
    proven: dict[tuple[object, ...], set[int]] = {}

    def keyed() -> Iterator[tuple[tuple[object, ...], LayerVerdicts]]:
        for audited in audits:
            if audited.proof is not None:
                same = audited.model.sha256, audited.proof.facts.domain.digest, audited.probe and audited.probe.provider
                yield from (((*same, layer.value), layer) for layer in audited.layers)

    for key, layer in keyed():
        proven.setdefault(key, set()).update(layer.proven)
    for key, layer in keyed():
        moved = sorted(proven[key].difference(layer.dead, layer.nonfinite))
        if moved:
            raise ProofContradicted(
                f"Unit {moved[0]} of {layer.value} is proven to be dead in one run and moves in another, for inputs of "
                "the same domain: a bug of deadunits; please report it."
            )


def _runs(
    run: Run, providers: Sequence[str] | None, models: Sequence[Model], probes: Sequence[Any] | None
) -> list[Run]:
    """The run on each of the providers; the run alone where none are given."""
    if providers is None:
        return [run]
    if len(models) != 1 or probes is not None or len(providers) < 2:
        raise InputError("Several providers are compared on one model and one probe: give two providers at least.")
    return [replace(run, provider=name) for name in providers]


def _pairs(models: Sequence[Model], data: Any, probes: Sequence[Any] | None) -> list[tuple[Model, Data]]:
    if probes is not None:
        given = [Data.of(probe) for probe in probes]
        each = len(models) == len(given) and all(source.statistics is not None for source in given)
        if data is not None or len(given) < 2 or not (each or len(models) == 1):
            raise InputError(
                "Several probes are compared on one model: give one model and at least two probes, or statistics, of "
                "which several models need one each."
            )
        return list(zip(models if each else [models[0]] * len(given), given, strict=True))
    if len(models) < 2:
        raise InputError("There is nothing to compare: give at least two models, or one model and two probes.")
    return [(model, Data.of(data)) for model in models]


def _source(data: Data) -> Any:
    return data.statistics if data.probe is None else data.probe


def _labels(given: Sequence[Any]) -> list[str]:
    """File names, with as much of the folders before them as it takes to tell them apart; else numbers."""
    if not all(isinstance(source, str | Path) for source in given):
        return [str(number) for number in range(1, len(given) + 1)]
    parts = [PurePath(without_secrets(str(source))).parts for source in given]
    for depth in range(1, max(len(p) for p in parts) + 1):
        labels = ["/".join(p[-depth:]) for p in parts]
        if len(set(labels)) == len(set(parts)):
            break
    return [label.removesuffix("/model.onnx").removesuffix(".onnx") for label in labels]


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(f"{label}: {stage}", done, total)
