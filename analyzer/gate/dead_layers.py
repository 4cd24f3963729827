"""Layers of which all units are dead, or most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation, first_of

MOSTLY = 0.5  # SageMaker's threshold_layer
FEWEST_UNITS = 4  # in a smaller layer, half of the units says nothing


@dataclass(frozen=True, slots=True)
class DeadLayer:
    """A layer with its dead units that nobody expects; `by_weights`: the weights alone decide most of them."""

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
            yield DeadLayer(layer, units, whole, 2 * len(layer.structural) > len(still))


@finding_kind("DU001", "layer-dead", Severity.ERROR, "Every unit of a layer is dead", in_audit=True)
def layer_dead(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer in which nothing moves."""
    still = [dead for dead in dead_layers(situation) if dead.whole and not dead.by_weights]
    for dead in still:
        layer = dead.layer
        who = f"All {counted(layer.units, 'unit')} of the layer are" if layer.units > 1 else "The layer's only unit is"
        yield kind.of_layer(
            layer,
            f"{who} dead: check the probe's preprocessing first{first_of(still, dead)}.",
            dead.units,
            measured=1.0,
        )


@finding_kind("DU014", "layer-mostly-dead", Severity.WARNING, "Most units of a layer are dead", in_audit=True)
def layer_mostly_dead(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer."""
    for dead in dead_layers(situation):
        if not (dead.whole or dead.by_weights):
            number, layer = len(dead.units), dead.layer
            yield kind.of_layer(
                layer,
                f"{number:,} of {counted(layer.units, 'unit')} are dead ({share(number, layer.units)}): check the "
                "probe's preprocessing first.",
                dead.units,
                measured=number / layer.units,
            )


@finding_kind(
    "DU027",
    "layer-dead-by-weights",
    Severity.WARNING,
    "The weights alone kill a layer, or most of it",
    in_audit=True,
    at_least="DU014",  # as severe as if the data had killed these units
)
def layer_dead_by_weights(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer."""
    for dead in dead_layers(situation):
        if dead.by_weights:
            number, layer = len(dead.units), dead.layer
            most = "" if set(dead.units) <= set(layer.structural) else "most of them "
            who = f"{number:,} of {counted(layer.units, 'unit')} {'is' if number == 1 else 'are'}"
            yield kind.of_layer(
                layer,
                f"{who} dead, {most}by the weights alone, whatever the data.",
                dead.units,
                severity=Severity.ERROR if dead.whole else kind.severity,
                measured=number / layer.units,
            )
