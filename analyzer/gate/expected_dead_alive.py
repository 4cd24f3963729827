"""The list of units that may be dead is out of date.

What it means
    An entry of `expect-dead` names a layer that the model does not have, or units that are alive or do not exist.

Why it matters
    A list that is longer than needed hides units that die later.

What to do
    Take the units off the list. An entry `VALUE:*` is told only when no layer of that name is left.

Evidence
    Compared with this check's verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per entry and layer."""
    for entry in situation.budgets.expect_dead:
        layers = [layer for layer in situation.audit.layers if entry.covers(layer.value)]
        if not layers:
            yield kind.finding("No audited layer has this name.", About.LAYER, value=entry.pattern)
        for layer in layers if entry.units is not None else ():
            alive = tuple(sorted((entry.units or frozenset()) - set(layer.dead) - set(layer.nonfinite)))
            if alive and layer.samples > 0:
                verb = "is" if len(alive) == 1 else "are"
                yield kind.of_layer(
                    layer,
                    f"{counted(len(alive), 'unit')} expected to be dead {verb} alive or not there.",
                    alive,
                )


KIND = FindingKind("DU021", "expected-dead-alive", Severity.NOTE, find, __name__)
