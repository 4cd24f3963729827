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
    Counted on all samples of the probe (at least two), units in `expect-dead` left out. Where the weights alone decide
    most of it, that is DU027.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted, share
from analyzer.gate.dead_layers import dead_layers
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
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


KIND = FindingKind("DU014", "layer-mostly-dead", Severity.WARNING, find, __name__, in_audit=True)
