"""Every unit of a layer is dead.

What it means
    No unit of this layer changed on any sample of the probe. Whatever follows it computes with constants.

Why it matters
    Everything that the model learned before this layer is lost here, unless a residual connection leads around it.
    Most often the model is fine and the data is not: an input that was not scaled, or scaled twice, or whose
    channels are swapped, looks just like this.

What to do
    Check the probe's preprocessing against training first (range, mean and standard deviation, order of the
    channels, NCHW or NHWC). Then run one sample by hand and compare the outputs with the framework's. If the data
    is right, look at the training: a rate that was too high kills whole ReLU layers. `deadunits explain MODEL
    --probe DATA --unit LAYER:0` shows one unit's case. A layer that is meant to be silent goes into `expect-dead`.

Evidence
    Every unit of the layer was one and the same constant on all samples (at least two). Where the weights alone decide
    most of it, that is DU027.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.dead_layers import dead_layers
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation, first_of


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
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


KIND = FindingKind("DU001", "layer-dead", Severity.ERROR, find, __name__, in_audit=True)
