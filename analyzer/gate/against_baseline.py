"""An audit held against an earlier one: what died, what came back, what has no partner."""

from __future__ import annotations

from analyzer.facts.audit import AuditFacts, LayerVerdicts
from analyzer.facts.baseline import Baseline, BaselineComparison, BaselineLayer, LayerChange
from analyzer.facts.pairing import LayerKey, match_layers


def compare_baseline(audit: AuditFacts, baseline: Baseline) -> BaselineComparison:
    """What became of the baseline's units."""
    then, now = baseline.layers, audit.layers
    matches = match_layers([layer.key for layer in then], [LayerKey.of(layer) for layer in now])
    died, revived, renamed, resized = [], [], [], []
    for match in matches:
        before, after = then[match.then], now[match.now]
        if match.by_order:
            renamed.append((after.value, before.key.value))
        if before.key.units != after.units:
            resized.append(after.value)
            continue
        if units := tuple(unit for unit in after.dead if before.alive(unit)):
            died.append(LayerChange(after.value, before.key.value, units, after.audited.module))
        if units := _revived(before, after):
            revived.append(LayerChange(after.value, before.key.value, units, after.audited.module))
    matched_now, matched_then = {match.now for match in matches}, {match.then for match in matches}
    fingerprint = audit.probe.fingerprint if audit.probe else ""
    return BaselineComparison(
        source=baseline.source,
        same_probe=bool(fingerprint) and fingerprint == baseline.fingerprint,
        units_then=baseline.units,
        dead_then=baseline.dead,
        newly_dead=tuple(died),
        revived=tuple(revived),
        by_order=tuple(renamed),
        only_now=tuple(layer.value for index, layer in enumerate(now) if index not in matched_now),
        only_then=tuple(layer.key.value for index, layer in enumerate(then) if index not in matched_then),
        resized=tuple(resized),
        matched=len(matches) - len(resized),
    )


def _revived(before: BaselineLayer, after: LayerVerdicts) -> tuple[int, ...]:
    if not after.samples:
        return ()
    gone = set(after.dead) | set(after.nonfinite)
    return tuple(sorted(unit for unit in before.dead if unit not in gone))
