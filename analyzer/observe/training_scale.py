"""Whether the data has the scale that the model was trained on, by what its first normalisations stored of that."""

from __future__ import annotations

import numpy as np

from analyzer.errors import RunError
from analyzer.facts.probe_condition import TrainingScale
from analyzer.facts.spread import Watched
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.suspects import measure_spread
from analyzer.ops.context import Call, Context
from analyzer.ops.shared_context import context_of
from analyzer.probes.probe import Probe

SAMPLES = 8  # feeds that are run, through the first layers only
LEAST_SPREAD = (
    1e-3  # of the largest stored deviation: channels that hardly varied in training tell nothing of the scale
)
MOST = 8  # normalisations that are looked at; branches of one input agree


def training_scales(
    loaded: LoadedModel, probe: Probe, shapes: ShapeTable, threads: int | None = None
) -> tuple[TrainingScale, ...]:
    """For each normalisation that no other comes before: the spread of what enters it against the stored one.

    The ratio is a median over channels, so that single ones that died, or that the data does not drive, count for
    nothing. Where exporters folded normalisations into convolutions nothing is known.
    """
    firsts = _first_normalisations(context_of(loaded.graph, shapes))
    watched = {}
    for call, _ in firsts:
        shape = shapes.shapes[call.inputs[0]]
        watched[call.inputs[0]] = Watched(call.inputs[0], 1, shape[1], len(shape))
    if not watched:
        return ()
    try:
        spreads = measure_spread(loaded, probe, [*watched.values()], shapes, threads=threads, most=SAMPLES)
    except RunError:  # these layers by themselves may be refused where the model as a whole is not
        return ()
    scales = []
    for call, stored in firsts:
        spread = spreads.get(call.inputs[0])
        telling = stored > LEAST_SPREAD * stored.max(initial=0.0)
        if spread is None or not telling.any():
            continue
        ratio = float(np.median(spread.deviation[telling] / stored[telling]))
        if np.isfinite(ratio) and ratio > 0:
            scales.append(TrainingScale(call.inputs[0], call.op.name, ratio, int(telling.sum())))
    return tuple(scales)


def _first_normalisations(context: Context) -> list[tuple[Call, np.ndarray[tuple[int], np.dtype[np.float64]]]]:
    """Calls with a stored variance behind no other such call, with the deviation per channel; of computed values."""
    behind, firsts = set[str](), []
    for call in context.calls:
        normalisation = None if call.barrier is not None else call.rule.normalisation(call.op)
        stored = None
        if normalisation is not None and normalisation.variance is not None:
            stored = call.op.static(normalisation.variance)
        if stored is not None or not behind.isdisjoint((*call.inputs, *call.op.node.captured)):
            if stored is not None and behind.isdisjoint(call.inputs) and context.graph.constant(call.inputs[0]) is None:
                firsts.append((call, np.sqrt(np.maximum(np.asarray(stored, np.float64), 0.0))))
            behind.update(call.outputs)
    return firsts[:MOST]
