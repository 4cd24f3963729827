"""The stage that asks why: a second pass over the probe for suspects only, then causes and distances."""

from __future__ import annotations

from dataclasses import replace

from analyzer.api.options import Progress, Run, provider_of
from analyzer.causes.diagnose import inquire
from analyzer.causes.gate_sums import with_gates
from analyzer.errors import ProbeError, RunError
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import LayerDiagnosis
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.suspects import measure_spread
from analyzer.probes.probe import Probe
from analyzer.walk import Walk


def diagnose(
    loaded: LoadedModel,
    probe: Probe | None,
    walked: Walk,
    shapes: ShapeTable,
    thresholds: Thresholds,
    run: Run,
    progress: Progress | None,
    *,
    every: bool = False,
) -> tuple[tuple[LayerDiagnosis, ...], str]:
    """Why units are dead, per layer with suspects, and why their pre-activations could not be measured (or nothing).

    Without measurements the weights alone must tell, and distances stay unknown. `every` suspect is asked, however long
    that takes, where a choice is made by distances.
    """
    inquiry = inquire(walked, thresholds.flat_gradient, every=every)
    spreads: dict[str, Spread] = {}
    failure = ""
    if probe is not None and (inquiry.watched or inquiry.gated):
        named: dict[str, Watched] = {}
        if inquiry.gated:
            loaded, shapes, named = with_gates(loaded, shapes, [*inquiry.gated.values()])
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
            spreads |= {name: spreads[watched.value] for name, watched in named.items() if watched.value in spreads}
        except (ProbeError, RunError) as error:
            failure = str(error)
    return inquiry.diagnoses(spreads), failure


def with_distances(
    layers: tuple[LayerVerdicts, ...], diagnoses: tuple[LayerDiagnosis, ...]
) -> tuple[LayerVerdicts, ...]:
    """The layers with the measured distances, by which a prune may choose."""
    distances = {diagnosis.value: diagnosis.distances for diagnosis in diagnoses}
    return tuple(
        replace(layer, distances=distances[layer.value]) if layer.value in distances else layer for layer in layers
    )
