"""The weights alone kill a layer, or most of it.

What it means
    All units of this layer are dead, or at least half of four or more, and most of them by the weights alone: they are
    constant whatever the data.

Why it matters
    The layer does nothing, or is far wider than what it does, for every input. It may have been pruned by masks, made
    sparse on purpose, driven to zero by weight decay, or damaged by the export.

What to do
    If that was meant, `deadunits prune` takes the units away and the finding with them; it needs no data for that. If
    not, compare the stored weights with those of the training framework. A layer that is meant to be silent goes into
    `expect-dead`.

Evidence
    Structural: followed from the stored weights through the graph, for every input that stays finite on the way. A
    layer that is wholly dead is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.dead_layers import dead_layers
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
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


KIND = FindingKind("DU027", "layer-dead-by-weights", Severity.WARNING, find, __name__, in_audit=True)
