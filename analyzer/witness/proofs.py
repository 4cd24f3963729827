"""Claims held against bounds: which of them hold for every input of a domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analyzer.errors import ProofContradicted
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.domain import Box
from analyzer.facts.proof import Claim
from analyzer.facts.statistics import Bools, Floats
from analyzer.facts.units import AuditedValue
from analyzer.facts.verdicts import stays
from analyzer.witness.claims import Claims, LayerClaims, on


def unit_bounds(audited: AuditedValue, bounds: Mapping[str, Box]) -> tuple[Floats, Floats]:
    """The least and the largest number that each unit can give; infinite where nothing bounds it, NaN included."""
    box = bounds.get(audited.value)
    nothing = np.full(audited.units, np.inf)
    if box is None or box.low.ndim != audited.rank or box.low.shape[audited.axis] not in (1, audited.units):
        return -nothing, nothing
    others = tuple(axis for axis in range(audited.rank) if axis != audited.axis)
    low, high = box.low.min(axis=others, initial=np.inf), box.high.max(axis=others, initial=-np.inf)
    wide = (np.broadcast_to(np.asarray(side, np.float64), (audited.units,)) for side in (low, high))
    low, high = (np.where(np.isnan(side), end, side) for side, end in zip(wide, (-np.inf, np.inf), strict=True))
    return low, high


def proven(claims: Claims, bounds: Mapping[str, Box]) -> Bools:
    """Per claim whether it holds for whatever lies within the bounds."""
    parts = [_proven(layer, *unit_bounds(layer.audited, bounds), claims) for layer in claims.layers]
    return np.concatenate(parts) if parts else np.zeros(0, np.bool_)


def _proven(layer: LayerClaims, low: Floats, high: Floats, claims: Claims) -> Bools:
    low, high = low[layer.units], high[layer.units]
    bounded = np.isfinite(low) & np.isfinite(high)
    if layer.claim is Claim.ALWAYS_ON:
        return (np.isfinite(low) | np.isfinite(high)) & on(layer.audited, low, high)
    least = np.where(bounded, np.minimum(low, layer.stays_at), 0)
    most = np.where(bounded, np.maximum(high, layer.stays_at), 1)
    return bounded & (low <= high) & stays(layer.audited, least, most, claims.thresholds)


def check_samples(layers: Sequence[LayerVerdicts], bounds: Mapping[str, Box]) -> None:
    """Hold everything that the probe showed against the bounds.

    Raises:
        ProofContradicted: a sample lies outside, so the bounds are wrong.
    """
    for layer in layers:
        seen = layer.statistics
        if seen is None or not seen.samples:
            continue
        low, high = unit_bounds(layer.audited, bounds)
        outside = (seen.nonfinite == 0) & ((seen.maximum > high) | (seen.minimum_exact & (seen.minimum < low)))
        if outside.any():
            unit = int(np.argmax(outside))
            raise ProofContradicted(
                f"Unit {unit} of {layer.value} is between {seen.minimum[unit]:.9g} and {seen.maximum[unit]:.9g} on the "
                f"probe, and bounds say {low[unit]:.9g} to {high[unit]:.9g}: a bug of deadunits; please report it."
            )
