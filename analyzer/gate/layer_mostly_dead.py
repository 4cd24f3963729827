"""Most units of a layer are dead.

What it means
    At least half of a layer's units (of four or more) were constant on every sample, but not all of them.

Why it matters
    A layer that is mostly dead is far wider than what it does. It may be the mark of training that went wrong, of
    preprocessing that was forgotten, or of a network that was made sparse on purpose.

What to do
    Check the probe's preprocessing, then `deadunits explain`. If the units are rightly dead, `deadunits prune`
    takes them away and the finding with them. To fail on it, set `--max-dead-layer`.

Evidence
    Counted on all samples of the probe, units in `expect-dead` left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.gate.rule import Rule
from analyzer.gate.situation import Situation, counted, percent

MOSTLY = 0.5
FEWEST_UNITS = 4


def find(situation: Situation, rule: Rule) -> Iterator[Finding]:
    """One finding per layer."""
    for layer in situation.judged():
        dead = situation.dead[layer.value]
        if layer.units < FEWEST_UNITS or len(layer.dead) == layer.units or len(dead) < MOSTLY * layer.units:
            continue
        yield rule.finding(
            f"{len(dead):,} of {counted(layer.units, 'unit')} are dead ({percent(len(dead), layer.units)}).",
            About.LAYER,
            value=layer.value,
            node=layer.audited.node,
            units=dead,
            measured=len(dead) / layer.units,
        )


RULE = Rule("DU014", "layer-mostly-dead", Severity.WARNING, find, __name__)
