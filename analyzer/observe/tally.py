"""Adds the results of each feed to the statistics of all units at once, and says which values are still suspect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

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


class _Edge:
    """One threshold per unit, against which outputs are held in their own precision.

    Rounded to float32 toward the side that is not counted, it decides for every float32 as the exact one does.
    """

    def __init__(self, exact: Floats, *, upward: bool) -> None:
        rounded = exact.astype(np.float32)
        away = rounded < exact if upward else rounded > exact
        further = np.nextafter(rounded, np.float32(np.inf if upward else -np.inf))
        self._exact, self._rounded = exact, np.where(away, further, rounded)

    def for_units(self, units: Ints, dtype: np.dtype[Any]) -> Array:
        """The thresholds of these units, for outputs of this type."""
        return (self._rounded if dtype == np.float32 else self._exact)[units]


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
        self._low = _Edge(self._each(lambda t: _firing_level(t.audited)), upward=False)
        self._floor = self._each(lambda t: _floor(t.audited))
        self._linear = self._each(lambda t: t.audited.kind is Kind.LINEAR).astype(np.bool_)
        self._saturating = self._each(lambda t: t.audited.kind is Kind.SATURATING).astype(np.bool_)
        self._low_edge = _Edge(self._each(lambda t: flat_edges(t.audited, flat_gradient)[0]), upward=False)
        self._high_edge = _Edge(self._each(lambda t: flat_edges(t.audited, flat_gradient)[1]), upward=True)

    def add(self, reading: Reading) -> None:
        """Count one feed. Every target needs its MAXIMUM; other statistics are used where they are there.

        A reading that is `alarmed` must come with DEFECT, which tells the samples that are not finite.
        """
        blocks, samples = reading.blocks, reading.samples
        good = self._finite(blocks, samples)
        finite = _count(good) if good is not None else samples
        self.samples += samples
        known = self._flat.copy()
        for block in blocks:
            if block.statistic is Statistic.MAXIMUM:
                self._add_maximum(block, good)
                flat = self._flat[block.units]
                if flat.any():
                    self._add_minimum(block.units[flat], block.array[:, flat], good)
            elif block.statistic is Statistic.MINIMUM:
                self._add_minimum(block.units, block.array, good)
                known[block.units] = True
        # A rectifier that was seen at its lower bound cannot go below it: its minimum is known for good.
        self._exact &= known | (self._minimum == self._floor)
        self._sums["fired"] += self._linear * finite
        self._sums["flat_samples"] += self._saturating * finite
        self._sums["nonfinite"] += samples - finite
        if reading.sizes is not None:
            units = np.array([t.audited.units for t in self.targets])
            self._add_positions(blocks, samples, good, np.repeat(reading.sizes // (units * samples), units))

    def preview(self, reading: Reading) -> None:
        """Take the extremes of samples that are going to be counted later; none may be `alarmed`."""
        for block in reading.blocks:
            if block.statistic is Statistic.MAXIMUM:
                self._raise_maximum(block.units, block.array, None)
            elif block.statistic is Statistic.MINIMUM:
                self._lower_minimum(block.units, block.array, None)

    def _raise_maximum(self, units: Ints, array: Array, seen: Bools | None) -> None:
        highest = array.max(axis=0) if seen is None else array.max(axis=0, initial=-np.inf, where=seen)
        self._maximum[units] = np.maximum(self._maximum[units], highest)

    def _lower_minimum(self, units: Ints, array: Array, seen: Bools | None) -> None:
        lowest = array.min(axis=0) if seen is None else array.min(axis=0, initial=np.inf, where=seen)
        self._minimum[units] = np.minimum(self._minimum[units], lowest)

    def _add_maximum(self, block: Block, good: Bools | None) -> None:
        units, array = block.units, block.array
        seen = None if good is None else good[:, units]
        self._raise_maximum(units, array, seen)
        fired = _count(array > self._low.for_units(units, array.dtype), seen)
        self._sums["fired"][units] += np.where(self._linear[units], 0, fired)
        curved = self._saturating[units]
        if curved.any():
            units, array, seen = units[curved], array[:, curved], None if seen is None else seen[:, curved]
            self._sums["low_samples"][units] += _count(array <= self._low_edge.for_units(units, array.dtype), seen)

    def _add_minimum(self, units: Ints, array: Array, good: Bools | None) -> None:
        seen = None if good is None else good[:, units]
        self._lower_minimum(units, array, seen)
        curved = self._saturating[units]
        if curved.any():
            units, array, seen = units[curved], array[:, curved], None if seen is None else seen[:, curved]
            self._sums["high_samples"][units] += _count(array >= self._high_edge.for_units(units, array.dtype), seen)

    def _add_positions(self, blocks: Sequence[Block], samples: int, good: Bools | None, positions: Ints) -> None:
        """Zeros and |output| over the positions of finite samples; a sample has `positions` [units] of them."""
        seen = np.broadcast_to(True if good is None else good, (samples, self.units))
        nonzero = np.where(seen, self._rows(blocks, Statistic.NONZERO, samples), 0)
        absolute = np.where(seen, self._rows(blocks, Statistic.ABSOLUTE, samples), 0.0)
        counted = positions * seen.sum(axis=0)
        self._sums["positions"] += counted
        self._sums["zeros"] += counted - nonzero.sum(axis=0, dtype=np.int64)
        self._absolute_sum += absolute.sum(axis=0, dtype=np.float64)

    def _finite(self, blocks: Sequence[Block], samples: int) -> Bools | None:
        """Samples and units without a NaN or an infinity; None while nobody looked for them."""
        if any(b.statistic is Statistic.DEFECT for b in blocks):
            defect = self._rows(blocks, Statistic.DEFECT, samples)
            maximum = self._rows(blocks, Statistic.MAXIMUM, samples)
            return np.asarray(np.isfinite(np.where(self._flat, maximum, defect)))
        if not self._flat.all() or not alarmed(blocks):
            return None
        return np.asarray(np.isfinite(self._rows(blocks, Statistic.MAXIMUM, samples)))

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

    def _rows(self, blocks: Sequence[Block], statistic: Statistic, samples: int) -> Array:
        """One statistic [samples, units] put together for all units; zeros where it was not computed."""
        parts = [b for b in blocks if b.statistic is statistic]
        if len(parts) == 1 and parts[0].array.shape[1] == self.units:
            return parts[0].array
        array = np.zeros((samples, self.units), np.result_type(np.float32, *(p.array.dtype for p in parts)))
        for part in parts:
            array[:, part.units] = part.array
        return array

    def _each(self, number: Callable[[Target], float]) -> Floats:
        """One number per target, repeated for its units."""
        numbers = np.array([number(t) for t in self.targets], np.float64)
        return np.repeat(numbers, [t.audited.units for t in self.targets])


def alarmed(blocks: Sequence[Block]) -> bool:
    """Whether some value may hold a NaN or an infinity."""
    return any(not np.isfinite(b.array).all() for b in blocks if b.statistic in ALARMS)


def _count(marked: Bools, seen: Bools | None = None) -> Ints:
    """How many samples are marked, and seen if that is given, per unit."""
    both = marked if seen is None else marked & seen
    # Small counters add up many at a time.
    counter = np.uint8 if len(both) < 256 else np.int64
    total: Ints = both.view(np.uint8).sum(axis=0, dtype=counter).astype(np.int64)
    return total


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
