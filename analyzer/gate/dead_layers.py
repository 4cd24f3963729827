"""Layers of which all units are dead, or most: what three findings share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.facts.audit import LayerVerdicts
from analyzer.gate.situation import Situation

MOSTLY = 0.5  # SageMaker's threshold_layer
FEWEST_UNITS = 4  # in a smaller layer, half of the units says nothing


@dataclass(frozen=True, slots=True)
class DeadLayer:
    """A layer with its dead units that nobody expects; `by_weights`: the weights alone decide most of it."""

    layer: LayerVerdicts
    units: tuple[int, ...]
    whole: bool
    by_weights: bool


def dead_layers(situation: Situation) -> Iterator[DeadLayer]:
    """Every layer that is wholly dead, or at least half."""
    for layer in situation.layers:
        still = situation.still(layer)
        units = situation.unexpected(layer, still)
        whole = len(still) == layer.units
        if units and (whole or (layer.units >= FEWEST_UNITS and len(units) >= MOSTLY * layer.units)):
            by_data = len(still) - len(layer.structural)
            yield DeadLayer(layer, units, whole, by_data < MOSTLY * layer.units)
