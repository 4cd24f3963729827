"""Adds the results of each feed to the statistics of all units at once, and says which values are still suspect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from analyzer.facts.statistics import Bools, Floats, Ints, UnitStatistics
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.instrument import Block, Reading, Statistic, Target

Array = np.ndarray[Any, np.dtype[Any]]

# A spread this many times smaller than the values may be rounding: such a unit is not yet cleared of being constant.
ROUNDING = 1e-4
# Up to this share of a value's units, picking them out is cheaper than reducing them all.
FEW = 0.25
# Counts of UnitStatistics that simply add up.
COUNTS = ("fired", "low_samples", "high_samples", "flat_samples", "nonfinite", "positions", "zeros")
# Statistics in which a NaN or an infinity of the value shows.
ALARMS = frozenset((Statistic.MAXIMUM, Statistic.MINIMUM, Statistic.MEAN, Statistic.ABSOLUTE))


class _Rows(NamedTuple):
    """One statistic of one feed for all units: for which it was computed, and `array` [samples, units]."""

    known: Bools
    array: Array


class Tally:
    """Running statistics of all units of all targets, in one row; UnitStatistics says what each number means."""

    def __init__(self, targets: Sequence[Target], flat_gradient: float) -> None:
        self.targets = targets
        self.units = units = targets[-1].stop if targets else 0
        self.samples = 0
        self._sums = {name: np.zeros(units, np.int64) for name in COUNTS}
        self._absolute_sum = np.zeros(units)
        self._minimum = np.full(units, np.inf)
        self._maximum = np.full(units, -np.inf)
        self._exact = np.ones(units, np.bool_)
        self._flat = self._each(lambda t: t.flat).astype(np.bool_)
        self._low = self._each(lambda t: _firing_level(t.audited))
        self._floor = self._each(lambda t: _floor(t.audited))
        self._saturating = self._each(lambda t: t.audited.kind is Kind.SATURATING).astype(np.bool_)
        self._low_edge = self._each(lambda t: flat_edges(t.audited, flat_gradient)[0])
        self._high_edge = self._each(lambda t: flat_edges(t.audited, flat_gradient)[1])

    def add(self, reading: Reading) -> None:
        """Count one feed. Every target needs its MAXIMUM; other statistics are used where they are there.

        A reading that is `alarmed` must come with DEFECT, which tells the samples that are not finite.
        """
        blocks, samples = reading.blocks, reading.samples
        looked_at, maximum = self._rows(blocks, Statistic.MAXIMUM, samples)
        minimum = self._rows(blocks, Statistic.MINIMUM, samples)
        if self._flat.any():
            minimum = _Rows(minimum.known | self._flat, np.where(self._flat, maximum, minimum.array))
        good = self._finite(blocks, maximum, samples)
        self.samples += samples
        self._maximum = np.maximum(self._maximum, maximum.max(axis=0, initial=-np.inf, where=good & looked_at))
        lowest = minimum.array.min(axis=0, initial=np.inf, where=good & minimum.known)
        self._minimum = np.minimum(self._minimum, lowest)
        # A rectifier that was seen at its lower bound cannot go below it: its minimum is known for good.
        self._exact &= minimum.known | (self._minimum == self._floor)
        sums = self._sums
        sums["fired"] += ((maximum > self._low) & good).sum(axis=0)
        sums["nonfinite"] += (~good).sum(axis=0) if good.ndim else 0
        sums["low_samples"] += ((maximum <= self._low_edge) & good).sum(axis=0)
        sums["high_samples"] += ((minimum.array >= self._high_edge) & minimum.known & good).sum(axis=0)
        sums["flat_samples"] += self._saturating * (good.sum(axis=0) if good.ndim else samples)
        if reading.sizes is not None:
            units = np.array([t.audited.units for t in self.targets])
            self._add_positions(blocks, samples, good, np.repeat(reading.sizes // (units * samples), units))

    def _add_positions(self, blocks: Sequence[Block], samples: int, good: Bools, positions: Ints) -> None:
        """Zeros and |output| over the positions of finite samples; a sample has `positions` [units] of them."""
        seen = np.broadcast_to(good, (samples, self.units))
        nonzero = np.where(seen, self._rows(blocks, Statistic.NONZERO, samples).array, 0)
        absolute = np.where(seen, self._rows(blocks, Statistic.ABSOLUTE, samples).array, 0.0)
        counted = positions * seen.sum(axis=0)
        self._sums["positions"] += counted
        self._sums["zeros"] += counted - nonzero.sum(axis=0, dtype=np.int64)
        self._absolute_sum += absolute.sum(axis=0, dtype=np.float64)

    def _finite(self, blocks: Sequence[Block], maximum: Array, samples: int) -> Bools:
        """Samples and units without a NaN or an infinity; one single True while nobody looked for them."""
        if not any(b.statistic is Statistic.DEFECT for b in blocks):
            return np.asarray(np.isfinite(maximum)) if self._flat.all() else np.asarray(True)
        defect = self._rows(blocks, Statistic.DEFECT, samples).array
        return np.asarray(np.isfinite(np.where(self._flat, maximum, defect)))

    def suspects(self) -> list[Target]:
        """Targets with positions, narrowed to the units whose minimum must go on being computed.

        These are the units that may yet be constant or always on, and all saturating ones.
        """
        scale = np.maximum(np.abs(self._maximum), np.abs(self._minimum))
        with np.errstate(invalid="ignore"):
            varies = self._maximum - self._minimum > ROUNDING * scale
        cleared = np.where(np.isfinite(self._floor), self._minimum <= self._floor, varies & ~self._saturating)
        left = [(t, np.flatnonzero(~cleared[t.start : t.stop])) for t in self.targets if not t.flat]
        return [
            t if len(units) > FEW * t.audited.units else replace(t, chosen=tuple(units.tolist()))
            for t, units in left
            if len(units)
        ]

    def statistics(self) -> dict[str, UnitStatistics]:
        """What was seen of each target, by value name."""
        result = {}
        for target in self.targets:
            part = slice(target.start, target.stop)
            result[target.audited.value] = UnitStatistics(
                samples=self.samples,
                minimum=self._minimum[part].copy(),
                maximum=self._maximum[part].copy(),
                minimum_exact=self._exact[part].copy(),
                absolute_sum=self._absolute_sum[part].copy(),
                **{name: total[part].copy() for name, total in self._sums.items()},
            )
        return result

    def _rows(self, blocks: Sequence[Block], statistic: Statistic, samples: int) -> _Rows:
        """One statistic put together for all units; zeros where it was not computed."""
        parts = [b for b in blocks if b.statistic is statistic]
        if len(parts) == 1 and parts[0].array.shape[1] == self.units:
            return _Rows(np.ones(self.units, np.bool_), parts[0].array)
        array = np.zeros((samples, self.units), np.result_type(np.float32, *(p.array.dtype for p in parts)))
        known = np.zeros(self.units, np.bool_)
        for part in parts:
            array[:, part.units] = part.array
            known[part.units] = True
        return _Rows(known, array)

    def _each(self, number: Callable[[Target], float]) -> Floats:
        """One number per target, repeated for its units."""
        numbers = np.array([number(t) for t in self.targets], np.float64)
        return np.repeat(numbers, [t.audited.units for t in self.targets])


def alarmed(reading: Reading) -> bool:
    """Whether some value may hold a NaN or an infinity."""
    return any(not np.isfinite(b.array).all() for b in reading.blocks if b.statistic in ALARMS)


def flat_edges(audited: AuditedValue, gradient: float) -> tuple[float, float]:
    """Outputs at or below the first, or at or above the second, lie where the activation's gradient is below.

    Sigmoid, Tanh and Softsign have their own formula, scaled to [low, high]; other saturating kinds take Tanh's.
    Kinds that do not saturate have no such outputs.
    """
    if audited.kind is not Kind.SATURATING:
        return -np.inf, np.inf
    low = -1.0 if audited.low is None else audited.low
    high = 1.0 if audited.high is None else audited.high
    # How far, as a share of the range, an output is from its asymptote when the gradient equals `gradient`.
    if audited.op == "Sigmoid":
        share = (1 - np.sqrt(max(0.0, 1 - 4 * gradient))) / 2  # y (1 - y) = g
    elif audited.op == "Softsign":
        share = np.sqrt(gradient) / 2  # (1 - |y|)^2 = g on [-1, 1]
    else:
        share = (1 - np.sqrt(max(0.0, 1 - gradient))) / 2  # 1 - y^2 = g on [-1, 1]
    return low + share * (high - low), high - share * (high - low)


def _firing_level(audited: AuditedValue) -> float:
    """Outputs above it count as firing; a linear value has no flat region, so it always does."""
    if audited.kind is Kind.LINEAR:
        return -np.inf
    return 0.0 if audited.low is None else audited.low


def _floor(audited: AuditedValue) -> float:
    return audited.low if audited.kind is Kind.RECTIFIER and audited.low is not None else -np.inf
