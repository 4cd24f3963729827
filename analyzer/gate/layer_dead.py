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
    Every unit of the layer was one and the same constant on all samples (at least two), or the weights alone decide
    it; the message says which.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation, counted, first_of


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """One finding per layer in which nothing moves."""
    still = [layer for layer in situation.judged() if layer.units and len(layer.dead) == layer.units]
    for layer in still:
        dead = situation.dead[layer.value]
        if not dead:
            continue
        who = f"All {counted(layer.units, 'unit')} of the layer are" if layer.units > 1 else "The layer's only unit is"
        yield rule.finding(
            f"{who} dead: {_reason(layer)}{first_of(still, layer)}.",
            About.LAYER,
            value=layer.value,
            node=layer.audited.node,
            units=dead,
            measured=1.0,
        )


def _reason(layer: LayerVerdicts) -> str:
    if layer.dead == layer.structural:
        return "by the weights alone, whatever the data"
    return "check the probe's preprocessing first"


RULE = Rule("DU001", "layer-dead", Severity.ERROR, find, __name__)
