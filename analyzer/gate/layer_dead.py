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

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation, counted


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """One finding per layer in which nothing moves."""
    for layer in situation.judged():
        dead = situation.dead[layer.value]
        if not layer.units or len(layer.dead) < layer.units or not dead:
            continue
        by_weights = set(layer.dead) <= set(layer.structural)
        reason = "by the weights alone, whatever the data" if by_weights else "check the probe's preprocessing first"
        yield rule.finding(
            f"All {counted(layer.units, 'unit')} of the layer are dead: {reason}."
            if layer.units > 1
            else f"The only unit of the layer is dead: {reason}.",
            About.LAYER,
            value=layer.value,
            node=layer.audited.node,
            units=dead,
            measured=1.0,
        )


RULE = Rule("DU001", "layer-dead", Severity.ERROR, find, __name__)
