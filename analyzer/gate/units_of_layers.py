"""Findings about some units of a layer: what they showed, where they are stuck, what the holdout says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import Finding, Severity
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
