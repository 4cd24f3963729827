"""Findings about what changed since an earlier audit."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.wording import counted, share
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation

POINTS = 0.05
FACTOR = 1.5


@finding_kind("DU009", "dead-above-baseline", Severity.ERROR, "The share of dead units is far above the baseline's")
def dead_above_baseline(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, and only with a baseline."""
    before, audit = situation.comparison, situation.audit
    if before is None or not before.units_then or not audit.units:
        return
    then, now = before.dead_then / before.units_then, audit.dead / audit.units
    limit = max(then + POINTS, FACTOR * then)
    if now >= limit * (1 - 1e-12):
        yield kind.finding(
            f"{share(now)} of all units are dead, {share(then)} were in the baseline.",
            About.BASELINE,
            measured=now,
            allowed=limit,
        )


@finding_kind("DU010", "newly-dead", Severity.ERROR, "Units died since the baseline")
def newly_dead(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
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


@finding_kind(
    "DU022", "baseline-incomparable", Severity.WARNING, "Part of the model could not be held against the baseline"
)
def baseline_incomparable(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, and only with a baseline."""
    before = situation.comparison
    if before is None or not situation.layers:
        return
    lost = len(before.only_now) + len(before.resized)
    if not before.matched:
        yield kind.finding("No layer of the model is in the baseline.", About.BASELINE, severity=Severity.ERROR)
    elif lost or before.only_then:
        parts = [
            f"{counted(len(names), 'layer')} {what}"
            for names, what in (
                (before.only_now, "not in the baseline"),
                (before.only_then, "of the baseline gone"),
                (before.resized, "of another width"),
            )
            if names
        ]
        yield kind.finding(f"{', '.join(parts)}: their units were not compared.", About.BASELINE)
