"""The stages in their order, and the result as one object: the way in for the command line and for Python."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from analyzer.api.audit_result import Audit
from analyzer.api.default_cut import planned
from analyzer.api.exporting import as_file
from analyzer.api.options import Data, Progress, Run, provider_of
from analyzer.api.outputs import guarded_files
from analyzer.api.rewritten import Source
from analyzer.api.stages import Measured, opened_data
from analyzer.errors import InputError, OtherBranch
from analyzer.facts.addresses import without_secrets
from analyzer.facts.audit import (
    AuditFacts,
    Conditions,
    LayerVerdicts,
    ModelSummary,
    ProbeSummary,
    ProviderShare,
)
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.engine import Engine
from analyzer.facts.probe_condition import TrainingScale
from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, ShapeTable
from analyzer.facts.verdicts import compare_holdout, verdicts_of
from analyzer.gate import audit_findings
from analyzer.graph import LoadedModel
from analyzer.observe.observation import Observation, Subject, observe
from analyzer.observe.training_scale import training_scales
from analyzer.probes.probe import Probe
from analyzer.report.notebook_progress import shown_in_notebook
from analyzer.rewrite.metadata import PREFIX
from analyzer.runtime.loading import accepted, load_model
from analyzer.shapes.confirmed_lengths import with_confirmed_lengths
from analyzer.shapes.shape_run import measure_shapes
from analyzer.walk import Walk, walk
from analyzer.walk.interface import feature_axes

if TYPE_CHECKING:
    import keras
    import onnx
    import onnx_ir
    import torch

    from analyzer.api.kept_statistics import Recalled
    from analyzer.facts.vocabulary import GatheredRows

    Object: TypeAlias = onnx.ModelProto | onnx_ir.Model | torch.onnx.ONNXProgram | torch.nn.Module | keras.Model

Model: TypeAlias = "str | Path | bytes | Object"


def audit(
    model: Model,
    data: Data | Any = None,
    *,
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    causes: bool = True,
    vocabulary: bool = False,
    experts: bool = False,
    domain: Any = None,
    budget: float = 60.0,
    progress: Progress | None = None,
) -> Audit:
    """Find the dead units of a model, and the parameters that can go with them.

    Args:
        model: path of an ONNX file, its address (`https://…`, `hf://org/repo/model.onnx`) or its bytes, a ModelProto,
            an onnx-ir model, an ONNXProgram. A PyTorch module or a Keras model is exported, the module with samples of
            the data.
        data: what the model is run on: a probe alone (a path, arrays by input name, an iterable of feeds, …), or `Data`
            with a probe, a holdout and how they are read. None: the weights only.
        run: how the model is run; None: as `Run()` says.
        thresholds: when a unit is near-dead or saturated: the name of one of `PRESETS`, or own thresholds.
        causes: ask why units are dead and how far they are from firing, in a second pass over the probe for
            layers with suspects.
        vocabulary: count which rows of embeddings the data gathers, in a further pass.
        experts: count which experts of mixtures tokens are routed to, in a further pass.
        domain: what inputs there are, as for `prove()`: what the probe says of units is held against all of them, and
            each dead unit is then proven, refuted or open. None: nothing is.
        budget: seconds that the search for inputs which refute a claim may take, with a domain.
        progress: called as samples are run (None: a notebook shows a line of its own while that takes long).

    Raises:
        InputError: the model, the data or the call cannot be used; the message says what to change.
        ProofContradicted: an input does what was proven to be impossible: a bug of ours.
    """
    data, run, thresholds = Data.of(data), Run.of(run), Thresholds.of(thresholds)
    if domain is not None:
        from analyzer.api.with_proof import check_claims, over_domain

        check_claims(data, domain)
    with run.limited(), shown_in_notebook(progress) as shown:
        audited, _ = audit_with_source(model, data, run, thresholds, causes, vocabulary, experts, progress=shown)
        return audited if domain is None else over_domain(audited, domain, budget, shown)


def audit_with_source(
    model: Model,
    data: Data,
    run: Run,
    thresholds: Thresholds,
    causes: bool,
    vocabulary: bool = False,
    experts: bool = False,
    *,
    progress: Progress | None,
    every_suspect: bool = False,
) -> tuple[Audit, Source]:
    """The stages, one after the other, and what they worked on.

    `every_suspect`: causes and distances of all, however long that takes. The rest as for `audit`.
    """
    if not provider_of(run).is_cpu and data.probe is None and data.random is None:
        raise InputError("provider says who runs the model on data, and there is none: give a probe, or leave it out.")
    clock = _Clock()
    with clock.stage("load"):
        file, data = as_file(model, data)
        loaded = load_model(file)
    recalled = None if data.statistics is None else _recalled(data.statistics, loaded, thresholds)
    varying = frozenset[str]()
    if recalled is not None:
        run, varying = replace(run, independent=recalled.job.independent), frozenset(recalled.job.varying)
        if vocabulary or experts:
            raise InputError("Statistics do not say which rows and experts are used: give the data itself.")
    with accepted(loaded, run.threads):
        with clock.stage("open"):
            opened, held = opened_data(data, loaded)
            first = opened if recalled is None else recalled.probe  # whose samples show the shapes
            _check_countable(opened, held, vocabulary=vocabulary, experts=experts)
        with clock.stage("shapes"):
            loaded = with_confirmed_lengths(loaded, first, run.threads)
            measured = Measured.of(loaded, first, independent=run.independent, varying=varying)
    while True:
        shapes, shown, audited = measured.shapes, measured.shown, measured.audited
        with clock.stage("shapes"):
            given = opened if recalled is None else None
            scales = () if given is None or given.random else training_scales(shown, given, shapes, run.threads)
        observed = partial(_observed, thresholds, run, progress, shown, measured.believed, shapes)
        try:
            with clock.stage("probe"):
                seen = observed("probe", opened)
            with clock.stage("holdout"):
                seen_on_holdout = observed("holdout", held)
            break
        except OtherBranch as error:
            if recalled is not None:
                raise recalled.other_branch() from error
            varying |= error.conditions
        with clock.stage("shapes"):
            measured = Measured.of(loaded, first, independent=run.independent, varying=varying)
    if recalled is not None:
        seen = recalled.observed(measured, seen)
    with clock.stage("walk"):
        walked = walk(loaded.graph, shapes, _verdicts(audited, seen, thresholds))
        measure = partial(measure_shapes, probe=first, threads=run.threads, varying=varying)
        gathered = _gathered(loaded, walked, opened, held, run) if vocabulary and opened else None
        unplanned, walked = walked, planned(loaded, shapes, walked, measure)
        counted = None
        if experts and opened:
            from analyzer.api.expert_counts import routed_experts, with_removable

            routed = routed_experts(loaded, unplanned.context, opened, held, run)
            counted = with_removable(routed, loaded, shapes, walked, measure)
    with clock.stage("causes"):
        diagnoses, causes_failed = tuple[LayerDiagnosis, ...](), ""
        if causes and (recalled is not None or any(map(_is_suspect, walked.layers))):
            from analyzer.api.diagnosing import diagnose, with_distances

            ask = partial(diagnose, shown, opened, walked, shapes, thresholds, run, progress, recalled=recalled)
            diagnoses, causes_failed = ask(every=every_suspect)
            walked = replace(walked, layers=with_distances(walked.layers, diagnoses))
        statistics_alone = recalled is not None and opened is None
        layers = _hold_against(walked.layers, seen_on_holdout, thresholds)
    conditions = Conditions(
        one_by_one=not (seen is None or seen.batched or (recalled.job if recalled else run).batch_size == 1),
        may_mix=(shapes.may_mix or "") if shapes.batchable else "",
        stated=seen is not None and seen.batched and shapes.may_mix is not None and shapes.stated,
        mixed=tuple(a.value for a in audited if a.value in shapes.mixed),
        scaled_together=tuple(a.value for a in audited if a.value in shapes.scaled_together),
        unseen=() if seen is None else tuple(seen.unseen),
        overridable=tuple(loaded.graph.defaults),
        withdrawn=walked.withdrawn,
        overflows=() if seen is None else seen.overflows,
        causes_failed=causes_failed,
        inseparable=shapes.inseparable,
        missing=() if recalled is None else recalled.statistics.missing,
        statistics_alone=statistics_alone,
    )
    facts = AuditFacts(
        model=_model_summary(loaded, model, walked),
        probe=recalled.summary(walked, opened) if recalled else _summary(opened, seen, walked, run, scales),
        holdout=_summary(held, seen_on_holdout, walked, run),
        thresholds=thresholds,
        layers=layers,
        removable=walked.removable,
        locked=tuple(walked.locked),
        operators_without_rule=tuple(walked.operators_without_rule),
        judged=walked.judged(conditions, data=seen is not None),
        conditions=conditions,
        seconds=clock.seconds,
        unused_inputs=walked.unused_inputs,
        constant_outputs=walked.constant_outputs,
        diagnoses=diagnoses,
        vocabulary=gathered,
        experts=counted,
    )
    facts = replace(facts, warnings=audit_findings(facts))
    files = (
        *guarded_files(model, *data.sources),
        *(file.home / file.location for file in loaded.beside.values()),
    )
    source = Source(loaded, shapes, first, opened, held, run, files, data.images, recalled)
    return Audit(facts, walked, _value_names(loaded), files, source), source


def _observed(
    thresholds: Thresholds,
    run: Run,
    progress: Progress | None,
    loaded: LoadedModel,
    audited: Sequence[AuditedValue],
    shapes: ShapeTable,
    stage: str,
    probe: Probe | None,
) -> Observation | None:
    """Statistics of every audited value over one data set; None without data."""
    if probe is None:
        return None
    reported = None if progress is None else partial(progress, stage)
    if not (engine := Engine.of(run.engine)).is_local:
        from analyzer.api.kept_statistics import check_kept
        from analyzer.observe.block_observer import Setup
        from analyzer.observe.engines import observe_in_blocks

        check_kept(thresholds)
        provider = provider_of(run)
        subject = Subject.of(loaded, probe, audited, shapes, run.batch_size, cpu=provider.is_cpu)
        setup = Setup(subject, thresholds.flat_gradient, run.threads, provider)
        return observe_in_blocks(engine, setup, probe, run.batch_size, reported)
    return observe(
        loaded,
        probe,
        audited,
        shapes,
        batch_size=run.batch_size,
        statistics="full" if thresholds.needs_positions else "firing",
        threads=run.threads,
        progress=reported,
        thresholds=thresholds,
        full_samples=None if run.full else run.full_samples,
        provider=provider_of(run),
    )


# What most audits do without is loaded only where it is asked for, here as above: a start pays for every module.


def _recalled(given: Any, loaded: LoadedModel, thresholds: Thresholds) -> Recalled:
    from analyzer.api.kept_statistics import Recalled

    return Recalled.of(given, loaded, thresholds)


def _check_countable(opened: Probe | None, held: Probe | None, *, vocabulary: bool, experts: bool) -> None:
    if not (vocabulary or experts):
        return
    from analyzer.api.row_counts import check_countable

    if vocabulary:
        check_countable(opened, held, "rows of embeddings are gathered")
    if experts:
        check_countable(opened, held, "experts tokens are routed to")


def _gathered(
    loaded: LoadedModel, walked: Walk, opened: Probe, held: Probe | None, run: Run
) -> tuple[GatheredRows, ...]:
    from analyzer.api.row_counts import gathered_tables

    return gathered_tables(loaded, walked.context, opened, held, run)


def _is_suspect(layer: LayerVerdicts) -> bool:
    """Whether causes and distances may be asked for."""
    return bool(layer.dead or layer.near_dead or layer.saturated)


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside, in all."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _verdicts(audited: Sequence[AuditedValue], seen: Observation | None, thresholds: Thresholds) -> list[LayerVerdicts]:
    statistics = {} if seen is None else seen.statistics

    def of(value: AuditedValue) -> UnitStatistics:
        shown = statistics.get(value.value)
        return UnitStatistics.empty(value.units, value.dtype) if shown is None else shown

    return [verdicts_of(value, of(value), thresholds) for value in audited]


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


def _model_summary(loaded: LoadedModel, source: Model, walked: Walk) -> ModelSummary:
    graph = loaded.graph
    return ModelSummary(
        path=without_secrets(str(source)) if isinstance(source, str | Path) else f"<{type(source).__name__}>",
        sha256=loaded.sha256,
        producer=loaded.producer,
        opset=graph.opsets.get("", 1),
        nodes=len(graph.nodes),
        parameters=walked.parameters,
        multiply_adds=walked.multiply_adds,
        bytes=loaded.size,
        made_from=loaded.model.metadata_props.get(f"{PREFIX}source_sha256", ""),
    )


def _summary(
    probe: Probe | None, seen: Observation | None, walked: Walk, run: Run, scales: Sequence[TrainingScale] = ()
) -> ProbeSummary | None:
    """After the run, because only then a generator's samples are counted."""
    if probe is None:
        return None
    samples = probe.samples if seen is None else seen.samples
    fingerprint = probe.fingerprint  # of all samples: what no run has read is read now
    return ProbeSummary(
        source=str(probe.source),
        samples=samples or 0,
        fingerprint=fingerprint,
        random=probe.random,
        condition=probe.condition(feature_axes(walked.context), scales),
        preprocessing=probe.preprocessing,
        provider=_provider(run, seen),
        skipped=probe.skipped,
    )


def _provider(run: Run, seen: Observation | None) -> ProviderShare | None:
    if seen is None or (provider := provider_of(run)).is_cpu:
        return None
    return ProviderShare(provider.name, *(seen.assigned or ()))


def _value_names(loaded: LoadedModel) -> dict[str, bool]:
    graph = loaded.graph
    computed = dict.fromkeys((*graph.inputs, *graph.defaults, *graph.producer), False)
    return computed | dict.fromkeys(sorted(graph.initializer_names), True)
