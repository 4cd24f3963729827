"""Units are stuck at the bound of their activation.

What it means
    Some units stayed at the bound of a Clip (ReLU6, HardSigmoid, hard swish) other than zero, or at an asymptote of
    a sigmoid or tanh, on every sample.

Why it matters
    Such a unit says the same for every input, and it passes no gradient, so further training cannot bring it back.
    Many of them in a first layer mean inputs on the wrong scale; in a quantised model, a range that was calibrated
    too narrowly.

What to do
    Check the scaling of the data. In a quantised model, calibrate again. In a trained one, normalise what goes into
    the layer or start from smaller weights. What such units cost can be removed without any loss: `deadunits
    prune`.

Evidence
    Constant on every sample of the probe, at the bound (for a sigmoid or tanh up to rounding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.findings import Finding, Severity
from analyzer.facts.units import Kind
from analyzer.facts.wording import counted
from analyzer.gate.finding_kind import FindingKind
from analyzer.gate.situation import Situation

_NEAR = 1e-5  # Tanh and Sigmoid reach their asymptotes only up to rounding


def find(situation: Situation, kind: FindingKind) -> Iterator[Finding]:
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


KIND = FindingKind("DU006", "stuck-at-bound", Severity.WARNING, find, __name__)
