"""Findings about some units of a layer: what they showed, where they are stuck, what the holdout says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import About, Finding, Severity
from analyzer.facts.units import Kind
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind, finding_kind
from analyzer.gate.situation import Situation, first_of


@finding_kind("DU002", "nonfinite", Severity.ERROR, "A unit showed NaN or infinity", in_audit=True)
def nonfinite(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer that showed such values."""
    broken = [layer for layer in situation.layers if layer.nonfinite]
    for layer in broken:
        seen = layer.statistics
        samples = "" if seen is None else f" on up to {counted(int(seen.nonfinite.max(initial=0)), 'sample')}"
        showed = f"{len(layer.nonfinite):,} of {counted(layer.units, 'unit')} showed NaN or infinity{samples}"
        yield kind.of_layer(
            layer,
            f"{showed}{first_of(broken, layer)}.",
            layer.nonfinite,
        )


@finding_kind("DU037", "half-overflow", Severity.WARNING, "A value of half precision passes 65,504", in_audit=True)
def half_overflow(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """At most one finding, about the first such value: what is computed from it inherits it."""
    overflows = situation.audit.conditions.overflows
    if overflows:
        extreme, others = overflows[0].extreme, len(overflows) - 1
        reached = f"reached {extreme:.3g}" if math.isfinite(extreme) else "became infinite"
        also = f", and {counted(others, 'other value')} passed that as well" if others else ""
        yield kind.finding(
            f"This value of half precision {reached} (halves end at 65,504){also}: it would be infinity on a device "
            "that computes in halves. Keep it in float32 or bfloat16, or scale what is squared or summed.",
            About.LAYER,
            value=overflows[0].value,
            node=overflows[0].node,
            measured=abs(extreme) if math.isfinite(extreme) else None,
            allowed=65504.0 if math.isfinite(extreme) else None,
        )


_NEAR = 1e-5  # Tanh and Sigmoid reach their asymptotes only up to rounding


@finding_kind("DU006", "stuck-at-bound", Severity.WARNING, "Units are stuck at the bound of their activation")
def stuck_at_bound(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer with such units."""
    for layer in situation.layers:
        stuck = situation.unexpected(layer, _stuck(layer, situation.still(layer)))
        if stuck:
            verb = "stays" if len(stuck) == 1 else "stay"
            yield kind.of_layer(
                layer,
                f"{len(stuck):,} of {counted(layer.units, 'unit')} {verb} at a bound of the activation.",
                stuck,
                measured=len(stuck) / layer.units,
            )


def _stuck(layer: LayerVerdicts, still: Sequence[int]) -> list[int]:
    kind = layer.audited.kind
    if kind not in (Kind.RECTIFIER, Kind.SATURATING):
        return []
    bounds = [bound for bound in (layer.audited.low, layer.audited.high) if bound is not None]
    if kind is Kind.RECTIFIER:
        bounds = [bound for bound in bounds if bound != 0]  # a dead ReLU is no news of this kind
    slack = _NEAR if kind is Kind.SATURATING else 0.0
    return [unit for unit in still if any(abs(layer.stays_at[unit] - bound) <= slack for bound in bounds)]


@finding_kind(
    "DU008", "holdout-revives", Severity.WARNING, "The holdout wakes units that are dead on the probe", in_audit=True
)
def holdout_revives(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
    """One finding per layer."""
    for layer in situation.layers:
        if layer.revived:
            verb = "is" if len(layer.revived) == 1 else "are"
            who = f"{len(layer.revived):,} of {counted(len(layer.dead), 'dead unit')} {verb} alive on the holdout"
            yield kind.of_layer(
                layer,
                f"{who}: the probe does not cover what the model will see.",
                layer.revived,
                measured=len(layer.revived) / max(len(layer.dead), 1),
            )
