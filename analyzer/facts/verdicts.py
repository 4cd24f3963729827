"""From the statistics of one audited value to the verdicts of its units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analyzer.facts.audit import LayerVerdicts, indices_of
from analyzer.facts.bound import firing_bound_of
from analyzer.facts.evidence import Evidence
from analyzer.facts.statistics import Bools, Extremes, Floats, UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, Kind

# Element type -> (bits of the fraction, smallest normal exponent); other types are compared exactly. Half precision is
# calculated in single precision and rounded: a unit that moves by one of its wide steps (0.1 % and more) does move.
_SINGLE, _DOUBLE = (23, -126), (52, -1022)
_PRECISION = {"float16": _SINGLE, "bfloat16": _SINGLE, "float32": _SINGLE, "float64": _DOUBLE}
_DORMANT_EPSILON = 1e-9  # as in dopamine's estimate_neuron_score: a layer of zeros has score 0, not NaN


def verdicts_of(audited: AuditedValue, statistics: UnitStatistics, thresholds: Thresholds) -> LayerVerdicts:
    """Verdicts of one value's units from what was seen; with no samples nothing is said.

    A unit that showed a NaN or an infinity is listed as such and gets no other verdict.
    """
    if not statistics.samples:
        nothing = np.full(statistics.units, np.nan)
        return LayerVerdicts(audited, np.zeros(statistics.units, np.uint8), nothing, statistics=statistics)
    sound = np.isfinite(statistics.minimum) & np.isfinite(statistics.maximum) & (statistics.nonfinite == 0)
    lowest, highest = (np.where(sound, extreme, 0) for extreme in (statistics.minimum, statistics.maximum))
    dead = sound & statistics.minimum_exact & stays(audited, lowest, highest, thresholds)
    stays_at = np.full(statistics.units, np.nan)
    stays_at[dead] = _middle(statistics.minimum[dead], statistics.maximum[dead])
    return LayerVerdicts(
        audited=audited,
        evidence=dead * np.uint8(Evidence.OBSERVED.code),
        stays_at=stays_at,
        near_dead=indices_of(_near_dead(audited, statistics, thresholds, sound) & ~dead),
        saturated=indices_of(_saturated(audited, statistics, thresholds) & sound & ~dead),
        always_on=indices_of(_always_on(audited, statistics) & sound & ~dead),
        nonfinite=indices_of(statistics.nonfinite > 0),
        samples=statistics.samples,
        firing_bound=firing_bound_of(statistics.samples),
        statistics=statistics,
    )


def undecided(audited: AuditedValue, statistics: UnitStatistics, thresholds: Thresholds, samples: int) -> Bools:
    """Units of which more samples, up to so many in all, may still change a verdict of `verdicts_of`.

    That goes by thresholds that need no positions. A number that is not finite may come of every unit at any time.
    """
    sound = np.isfinite(statistics.minimum) & np.isfinite(statistics.maximum) & (statistics.nonfinite == 0)
    lowest, highest = (np.where(sound, extreme, 0) for extreme in (statistics.minimum, statistics.maximum))
    open_ = stays(audited, lowest, highest, thresholds)
    if audited.kind is Kind.RECTIFIER and audited.low is not None:
        within = lowest > audited.low if audited.high is None else (lowest > audited.low) & (highest < audited.high)
        open_ = open_ | within | (statistics.fired <= thresholds.near_dead * samples)
    if audited.kind is Kind.SATURATING:
        moved = statistics.samples - statistics.low_samples - statistics.high_samples
        open_ = open_ | (samples - moved >= thresholds.saturated * samples)
    return np.asarray((open_ & (statistics.nonfinite == 0)) | ~(sound | (statistics.nonfinite > 0)))


def compare_holdout(layer: LayerVerdicts, holdout: UnitStatistics, thresholds: Thresholds) -> LayerVerdicts:
    """The same verdicts, with the units filled in that are dead on the probe but not over both sets together.

    A unit that is constant on both, at two different values, counts as revived; one that the weights alone
    decide cannot be.
    """
    together = holdout if layer.statistics is None else layer.statistics.merge(holdout)
    still = set(verdicts_of(layer.audited, together, thresholds).dead)
    doubtful = layer.dead_by(Evidence.OBSERVED, Evidence.REFUTED) if holdout.samples else ()
    return replace(layer, revived=tuple(unit for unit in doubtful if unit not in still))


def _middle(lowest: Extremes, highest: Extremes) -> Extremes:
    """Of units that are constant; integers are constant exactly."""
    return lowest if lowest.dtype.kind == "i" else lowest + (highest - lowest) / 2


def stays(audited: AuditedValue, lowest: Floats, highest: Floats, thresholds: Thresholds) -> Bools:
    """Whether what lies between these (finite) is one constant: exactly; smooth activations within a few units in the
    last place, as kernels round unevenly.

    Linear outputs may be weighed by anything: one unit in the last place, times a large weight, is no rounding.
    """
    if audited.kind not in (Kind.SMOOTH, Kind.SATURATING) or audited.dtype not in _PRECISION:
        return np.asarray(lowest == highest)
    ulp = _spacing(np.maximum(np.abs(lowest), np.abs(highest)), audited.dtype)
    return np.asarray(highest - lowest <= thresholds.ulps * ulp)


def _spacing(magnitude: Floats, dtype: str) -> Floats:
    """Distance to the next number of this element type, for each magnitude."""
    fraction_bits, smallest_exponent = _PRECISION[dtype]
    exponent = np.maximum(np.frexp(magnitude)[1] - 1, smallest_exponent)
    return np.asarray(np.ldexp(1.0, exponent - fraction_bits))


def _near_dead(audited: AuditedValue, statistics: UnitStatistics, thresholds: Thresholds, sound: Bools) -> Bools:
    """Units that hardly do anything, by the definition that the thresholds choose."""
    nothing = np.zeros(statistics.units, np.bool_)
    if thresholds.needs_positions and audited.kind is Kind.LINEAR:
        return nothing  # both scores are defined on activations
    if thresholds.dormant is not None:
        return _dormant(statistics, thresholds.dormant, sound)
    if thresholds.needs_positions:
        return _often_zero(statistics, thresholds, sound)
    # Only a rectifier with a lower flat region has a state in which it does not fire.
    if audited.kind is not Kind.RECTIFIER or audited.low is None:
        return nothing
    return np.asarray(sound & (statistics.fired <= thresholds.near_dead * statistics.samples))


def _dormant(statistics: UnitStatistics, tau: float, sound: Bools) -> Bools:
    counted = sound & (statistics.positions > 0)
    if not counted.any():
        return counted
    magnitude = np.where(counted, statistics.absolute_sum, 0.0) / np.maximum(statistics.positions, 1)
    return np.asarray(counted & (magnitude <= tau * (magnitude[counted].mean() + _DORMANT_EPSILON)))


def _often_zero(statistics: UnitStatistics, thresholds: Thresholds, sound: Bools) -> Bools:
    counted = sound & (statistics.positions > 0)
    if not counted.any():
        return counted
    share = statistics.zeros / np.maximum(statistics.positions, 1)
    cut = np.inf if thresholds.apoz is None else thresholds.apoz
    if thresholds.apoz_deviations is not None:
        seen = share[counted]
        cut = min(cut, float(seen.mean() + thresholds.apoz_deviations * seen.std()))
    return np.asarray(counted & (share > cut))


def _saturated(audited: AuditedValue, statistics: UnitStatistics, thresholds: Thresholds) -> Bools:
    """Flat on a share of all samples, so samples that were not looked at count as not flat."""
    if audited.kind is not Kind.SATURATING:
        return np.zeros(statistics.units, np.bool_)
    flat = statistics.low_samples + statistics.high_samples
    return np.asarray((flat > 0) & (flat >= thresholds.saturated * statistics.samples))


def _always_on(audited: AuditedValue, statistics: UnitStatistics) -> Bools:
    """A rectifier that never touched a flat region: on this data it is an identity."""
    if audited.kind is not Kind.RECTIFIER or audited.low is None:
        return np.zeros(statistics.units, np.bool_)
    on = statistics.minimum_exact & (statistics.minimum > audited.low)
    return on if audited.high is None else on & (statistics.maximum < audited.high)
