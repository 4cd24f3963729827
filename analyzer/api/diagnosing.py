"""The stage that asks why: a second pass over the probe for suspects only, then causes and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.api.options import Progress, Run, provider_of
from analyzer.causes.diagnose import Inquiry, inquire
from analyzer.causes.gate_sums import with_gates
from analyzer.errors import ProbeError, RunError
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.spread_observer import asked_hash
from analyzer.observe.suspects import Measuring, measure_spread
from analyzer.probes.probe import Probe
from analyzer.walk import Walk

if TYPE_CHECKING:
    from analyzer.api.kept_statistics import Recalled


def diagnose(
    loaded: LoadedModel,
    probe: Probe | None,
    walked: Walk,
    shapes: ShapeTable,
    thresholds: Thresholds,
    run: Run,
    progress: Progress | None,
    *,
    recalled: Recalled | None = None,
    every: bool = False,
) -> tuple[tuple[LayerDiagnosis, ...], str]:
    """Why units are dead, per layer with suspects, and why their pre-activations could not be measured (or nothing).

    Without measurements the weights alone must tell, and distances stay unknown. `every` suspect is asked, however long
    that takes, where a choice is made by distances. A second pass that was kept with statistics is not made again.
    """
    if recalled is not None:
        kept = _recalled(loaded, walked, shapes, thresholds, recalled)
        if probe is None or not kept[1]:
            return kept
    inquiry = inquire(walked, thresholds.flat_gradient, every=every)
    spreads: dict[str, Spread] = {}
    failure = ""
    if probe is not None and (inquiry.watched or inquiry.gated):
        loaded, shapes, named = _shown(loaded, shapes, inquiry)
        try:
            spreads = measure_spread(
                loaded,
                probe,
                (*inquiry.watched, *named.values()),
                shapes,
                batch_size=run.batch_size,
                threads=run.threads,
                provider=provider_of(run),
                progress=None if progress is None else lambda done, total: progress("causes", done, total),
            )
            spreads = _renamed(spreads, named)
        except (ProbeError, RunError) as error:
            failure = str(error)
    return inquiry.diagnoses(spreads), failure


def measuring_of(
    loaded: LoadedModel, inquiry: Inquiry, shapes: ShapeTable, recalled: Recalled
) -> tuple[Measuring, dict[str, Watched]]:
    """What a second pass measures, whoever makes it; and values that have other names in the inquiry."""
    loaded, shapes, named = _shown(loaded, shapes, inquiry)
    watched, job = (*inquiry.watched, *named.values()), recalled.job
    cpu = not job.provider
    return Measuring.of(loaded, recalled.probe, watched, shapes, batch_size=job.batch_size, cpu=cpu), named


def _recalled(
    loaded: LoadedModel, walked: Walk, shapes: ShapeTable, thresholds: Thresholds, recalled: Recalled
) -> tuple[tuple[LayerDiagnosis, ...], str]:
    """From what a second pass has left behind, which asked about every suspect."""
    from analyzer.api.kept_statistics import NO_SECOND_PASS, OTHER_SECOND_PASS

    second, spread = recalled.second
    inquiry = inquire(walked, thresholds.flat_gradient, every=second is not None)
    if second is None or spread is None:
        return inquiry.diagnoses({}), NO_SECOND_PASS
    measuring, named = measuring_of(loaded, inquiry, shapes, recalled)
    if asked_hash(measuring, named) != second.asked:
        return inquiry.diagnoses({}), OTHER_SECOND_PASS
    return inquiry.diagnoses(_renamed(measuring.spreads(spread.numbers), named)), ""


def _shown(
    loaded: LoadedModel, shapes: ShapeTable, inquiry: Inquiry
) -> tuple[LoadedModel, ShapeTable, dict[str, Watched]]:
    """The model that shows what is asked for."""
    return with_gates(loaded, shapes, [*inquiry.gated.values()]) if inquiry.gated else (loaded, shapes, {})


def _renamed(spreads: dict[str, Spread], named: Mapping[str, Watched]) -> dict[str, Spread]:
    """With those of gates by the names that layers use."""
    return spreads | {name: spreads[watched.value] for name, watched in named.items() if watched.value in spreads}


def with_distances(
    layers: tuple[LayerVerdicts, ...], diagnoses: tuple[LayerDiagnosis, ...]
) -> tuple[LayerVerdicts, ...]:
    """The layers with the measured distances, by which a prune may choose."""
    distances = {diagnosis.value: diagnosis.distances for diagnosis in diagnoses}
    return tuple(
        replace(layer, distances=distances[layer.value]) if layer.value in distances else layer for layer in layers
    )
