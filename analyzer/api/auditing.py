"""The stages in their order, and the result as one object: the way in for the command line and for Python."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from analyzer.api.audit_result import Audit, Progress
from analyzer.api.call_checks import check_call
from analyzer.api.cutting import planned
from analyzer.api.diagnosing import diagnose, with_distances
from analyzer.api.pruned_model import Pruned, Source
from analyzer.errors import InputError
from analyzer.facts.audit import (
    AuditFacts,
    Conditions,
    LayerVerdicts,
    ModelSummary,
    ProbeSummary,
    Thresholds,
)
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.choice import Choice
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.units import AuditedValue, ShapeTable
from analyzer.facts.verdicts import PRESETS, compare_holdout, verdicts_of
from analyzer.gate import audit_findings
from analyzer.graph import LoadedModel
from analyzer.graph.load import external_files
from analyzer.observe.observation import Observation, observe
from analyzer.probes.images import listed_images
from analyzer.probes.probe import ImageOptions, Probe, open_probe, random_probe
from analyzer.runtime.loading import load_model
from analyzer.shapes.batching import BATCH_SIZE
from analyzer.shapes.shape_run import measure_shapes
from analyzer.units import select_units
from analyzer.walk import Walk, walk

Model = str | Path | bytes | onnx.ModelProto


def audit(
    model: Model,
    probe: Any = None,
    *,
    holdout: Any = None,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    constants: Sequence[str] = (),
    images: ImageOptions | None = None,
    preset: str = "default",
    thresholds: Thresholds | None = None,
    random: int | None = None,
    dims: Mapping[str, int] | None = None,
    threads: int | None = None,
    causes: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Find the dead units of a model, and the parameters that can go with them.

    Args:
        model: path of an ONNX file, its bytes, or a ModelProto.
        probe: data like what the model will see: a path (.npz, .npy, .csv, .parquet, a folder of images or
            of tensors, `file.py:generator`), arrays by input name, or any iterable of feeds. None: the
            weights only.
        holdout: a second data set, held against the first: units dead on the probe, alive there are listed.
        limit: use at most so many samples of each data set.
        batch_size: samples per run where the model takes batches.
        constants: inputs that are fed unchanged with every sample.
        images: how image files become arrays.
        preset: whose definition of near-dead and saturated to use, one of `PRESETS`.
        thresholds: own thresholds instead of a preset.
        random: draw so many random samples instead of a probe; labelled as random everywhere.
        dims: sizes of free dimensions for `random`, by name.
        threads: threads of onnxruntime; None: its own choice.
        causes: ask why units are dead and how far they are from firing, in a second pass over the probe for
            layers with suspects.
        progress: called as samples are run.

    Raises:
        InputError: the model, the data or the call cannot be used; the message says what to change.
    """
    chosen = preset_named(preset) if thresholds is None else thresholds
    check_call(
        probe,
        holdout,
        random=random,
        constants=constants,
        dims=dims,
        images=images,
        limit=limit,
        batch_size=batch_size,
        threads=threads,
    )
    clock = _Clock()
    with clock.stage("load"):
        loaded = load_model(model)
    run = _Run(loaded, chosen, batch_size, threads, progress)
    with clock.stage("open"):
        inputs = loaded.graph.inputs
        reader = partial(open_probe, inputs=inputs, limit=limit, constants=tuple(constants), images=images)
        if random is not None:
            opened: Probe | None = random_probe(
                inputs, samples=random, free_dims=dims or {}, constants=tuple(constants)
            )
        else:
            opened = None if probe is None else reader(probe)
        held = None if holdout is None else reader(holdout)
    with clock.stage("shapes"):
        shapes = measure_shapes(loaded, opened)
        selected = select_units(loaded.graph, shapes)
        audited = [a.of_type(shapes.dtypes.get(a.value, a.dtype)) for a in selected]
        believed = [a for a in audited if a.value not in shapes.mixed]
    with clock.stage("probe"):
        seen = run.observe("probe", opened, believed, shapes)
    with clock.stage("holdout"):
        seen_on_holdout = run.observe("holdout", held, believed, shapes)
    with clock.stage("walk"):
        found = walk(loaded.graph, shapes, _verdicts(audited, seen, chosen))
        found = planned(loaded, shapes, found, partial(measure_shapes, probe=opened, threads=threads))
    with clock.stage("causes"):
        diagnoses, causes_failed = run.diagnose(opened, found, shapes) if causes else ((), "")
        found = replace(found, layers=with_distances(found.layers, diagnoses))
        layers = _hold_against(found.layers, seen_on_holdout, chosen)
    facts = AuditFacts(
        model=_model_summary(loaded, model, found),
        probe=_summary(opened, seen),
        holdout=_summary(held, seen_on_holdout),
        thresholds=chosen,
        layers=layers,
        removable=found.removable,
        locked=tuple(found.locked),
        operators_without_rule=tuple(found.operators_without_rule),
        conditions=Conditions(
            one_by_one=not (seen is None or seen.batched or batch_size == 1),
            mixed=tuple(a.value for a in audited if a.value in shapes.mixed),
            unseen=() if seen is None else tuple(seen.unseen),
            overridable=tuple(loaded.graph.defaults),
            withdrawn=found.withdrawn,
            causes_failed=causes_failed,
        ),
        seconds=clock.seconds,
        unused_inputs=found.unused_inputs,
        constant_outputs=found.constant_outputs,
        diagnoses=diagnoses,
    )
    facts = replace(facts, warnings=audit_findings(facts))
    files = (*input_files(model, probe, holdout), *listed_images(probe, holdout), *_external_files(loaded))
    source = Source(loaded, shapes, opened, held, batch_size, threads, files)
    return Audit(facts, found, _value_names(loaded), files, source)


def prune(
    model: Model,
    probe: Any = None,
    *,
    choice: Choice | None = None,
    lossy: Mapping[str, Sequence[int]] | None = None,
    latency: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> Pruned:
    """Audit a model and cut it: `audit(model, probe, **options).prune(...)`.

    Without a probe only what the weights alone decide goes, for every input that stays finite on the way.

    Raises:
        InputError: the model, the data or the call cannot be used.
        ComparisonFailed: the smaller model differs from the original on the probe; nothing is handed out.
    """
    found = audit(model, probe, progress=progress, **options)
    return found.prune(choice=choice, lossy=lossy, latency=latency, progress=progress)


def preset_named(name: str) -> Thresholds:
    """The thresholds of a preset.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def input_files(*sources: Any) -> tuple[Path, ...]:
    """The files and folders among the sources of an audit: an output must not replace any of them.

    Those that are missing are left out: whoever reads them says so.
    """
    named = (str(source) for source in sources if isinstance(source, str | Path))
    files = (text if Path(text).exists() else text.rpartition(":")[0] for text in named)  # `file.py:generator`
    return tuple(Path(text) for text in files if text and Path(text).exists())


@dataclass(frozen=True)
class _Run:
    """What stays the same while probe and holdout are observed."""

    loaded: LoadedModel
    thresholds: Thresholds
    batch_size: int
    threads: int | None
    progress: Progress | None

    def observe(
        self, stage: str, probe: Probe | None, audited: Sequence[AuditedValue], shapes: ShapeTable
    ) -> Observation | None:
        """Statistics of every audited value over one data set; None without data."""
        if probe is None:
            return None
        report = self.progress
        return observe(
            self.loaded,
            probe,
            audited,
            shapes,
            batch_size=self.batch_size,
            statistics="full" if self.thresholds.needs_positions else "firing",
            threads=self.threads,
            progress=None if report is None else lambda done, total: report(stage, done, total),
            flat_gradient=self.thresholds.flat_gradient,
        )

    def diagnose(self, probe: Probe | None, found: Walk, shapes: ShapeTable) -> tuple[tuple[LayerDiagnosis, ...], str]:
        """Why units are dead, the data read a second time where there are suspects; and why that failed, or nothing."""
        return diagnose(
            self.loaded,
            probe,
            found,
            shapes,
            flat_gradient=self.thresholds.flat_gradient,
            batch_size=self.batch_size,
            threads=self.threads,
            progress=self.progress,
        )


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def _verdicts(audited: Sequence[AuditedValue], seen: Observation | None, thresholds: Thresholds) -> list[LayerVerdicts]:
    statistics = {} if seen is None else seen.statistics
    empty = UnitStatistics.empty
    return [verdicts_of(a, statistics.get(a.value, empty(a.units, a.dtype)), thresholds) for a in audited]


def _hold_against(
    layers: Sequence[LayerVerdicts], seen: Observation | None, thresholds: Thresholds
) -> tuple[LayerVerdicts, ...]:
    if seen is None:
        return tuple(layers)
    return tuple(
        compare_holdout(layer, seen.statistics[layer.value], thresholds)
        if layer.value in seen.statistics
        else replace(layer, revived=())
        for layer in layers
    )


def _model_summary(loaded: LoadedModel, source: Model, found: Walk) -> ModelSummary:
    graph = loaded.graph
    return ModelSummary(
        path=str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>",
        sha256=loaded.sha256,
        producer=loaded.producer,
        opset=graph.opsets.get("", 1),
        nodes=len(graph.nodes),
        parameters=found.parameters,
        multiply_adds=found.multiply_adds,
        bytes=loaded.size,
    )


def _summary(probe: Probe | None, seen: Observation | None) -> ProbeSummary | None:
    """After the run, because only then a generator's samples are counted."""
    if probe is None:
        return None
    samples = probe.samples if seen is None else seen.samples
    return ProbeSummary(
        source=str(probe.source), samples=samples or 0, fingerprint=probe.fingerprint, random=probe.random
    )


def _external_files(loaded: LoadedModel) -> tuple[Path, ...]:
    folder = loaded.folder or Path()
    return tuple(folder / name for name in sorted(external_files(loaded.model)))


def _value_names(loaded: LoadedModel) -> dict[str, bool]:
    graph = loaded.graph
    computed = dict.fromkeys((*graph.inputs, *graph.defaults, *graph.producer), False)
    return computed | dict.fromkeys(sorted(graph.initializer_names), True)
