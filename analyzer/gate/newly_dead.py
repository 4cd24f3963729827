"""Units died since the baseline.

What it means
    Units that were alive in the audit it is held against never fire now.

Why it matters
    A unit that dies between two versions is what a gate with a baseline is there to see: fine-tuning with too high
    a rate, pruning, quantisation, a changed preprocessing.

What to do
    Look at the layers in the order of the graph: a change early on kills units further down. Run the old model on
    the new probe to tell model from data. A loss that is wanted goes into `expect-dead`, or make a new baseline.

Evidence
    Units are matched by the layer's tensor name and their index; where names changed, by the layer's place, kind
    and width. Alive means seen to be alive: a unit without a verdict then is not counted. If the two audits were
    not made on the same data, the message says so: then the data may be what changed.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer, and only with a baseline."""
    before = situation.comparison
    layers = {layer.value: layer for layer in situation.layers}
    for change in before.newly_dead if before is not None else ():
        layer = layers[change.value]
        units = situation.unexpected(layer, change.units)
        if units:
            verb = "was" if len(units) == 1 else "were"
            data = "" if before is not None and before.same_probe else " (on other data)"
            yield kind.of_layer(
                layer,
                f"{len(units):,} of {counted(layer.units, 'unit')} {verb} alive in the baseline{data} and "
                f"{'is' if len(units) == 1 else 'are'} dead now.",
                units,
                measured=len(units),
                allowed=0,
            )


KIND = FindingKind("DU010", "newly-dead", Severity.ERROR, find, __name__)
