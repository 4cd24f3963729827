"""Adds the results of each feed to the statistics of all units at once, and says which values are still suspect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.facts.statistics import Bools, Floats, Ints, UnitStatistics, extreme_type, largest, smallest
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.instrument import Block, Reading
from analyzer.observe.targets import Statistic, Target

Array = np.ndarray[Any, np.dtype[Any]]

# A spread this many times smaller than the values may be rounding: such a unit is not yet cleared of being constant.
ROUNDING = 1e-4
# Up to this share of a value's units, picking them out is cheaper than reducing them all; units on the last axis are
# picked element by element.
FEW, FEW_APART = 0.25, 0.02
# Counts of UnitStatistics that add up feed by feed.
COUNTS = ("fired", "low_samples", "high_samples", "nonfinite", "positions", "zeros")
# Statistics in which a NaN or an infinity of the value shows.
ALARMS = frozenset((Statistic.MAXIMUM, Statistic.MINIMUM, Statistic.MEAN, Statistic.ABSOLUTE))


_EXTREME_TYPES = ("float64", "int64")


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


class _Columns:
    """The units of one block, with what its arrays are held against, and their extremes and counts so far.

    Picking units out of all of them takes longer than the arithmetic; here it is done once for many feeds.
    """

    def __init__(self, block: Block, tally: Tally) -> None:
        dtype = block.array.dtype
        self.units = block.units
        self.flat = np.flatnonzero(tally.flat[self.units])
        self.curved = np.flatnonzero(tally.saturating[self.units])
        self.low = tally.low.for_units(self.units, dtype)
        self.low_edge = tally.low_edge.for_units(self.units[self.curved], dtype)
        self.high_edge = tally.high_edge.for_units(self.units[self.curved], dtype)
        self.least, self.most = smallest(dtype.name), largest(dtype.name)
        self.highest = np.full(len(self.units), self.least, dtype)
        self.lowest = np.full(len(self.units), self.most, dtype)
        self.fired = np.zeros(len(self.units), np.int64)
        self.at_low = np.zeros(len(self.curved), np.int64)
        self.at_high = np.zeros(len(self.curved), np.int64)

    def add_maximum(self, array: Array, seen: Bools | None) -> None:
        """Count the maxima [samples, columns] of a feed; a flat unit's is its minimum too."""
        now = array.max(axis=0) if seen is None else array.max(axis=0, initial=self.least, where=seen)
        np.maximum(self.highest, now, out=self.highest)
        self.fired += _count(array > self.low, seen)
        if self.curved.size:
            curved, within = np.take(array, self.curved, axis=1), None if seen is None else seen[:, self.curved]
            self.at_low += _count(curved <= self.low_edge, within)

    def add_minimum(self, array: Array, seen: Bools | None) -> None:
        """Count the minima [samples, columns] of a feed."""
        now = array.min(axis=0) if seen is None else array.min(axis=0, initial=self.most, where=seen)
        np.minimum(self.lowest, now, out=self.lowest)
        if self.curved.size:
            curved, within = np.take(array, self.curved, axis=1), None if seen is None else seen[:, self.curved]
            self.at_high += _count(curved >= self.high_edge, within)


class Tally:
    """Running statistics of all units of all targets, in one row; UnitStatistics says what each number means."""

    def __init__(self, targets: Sequence[Target], flat_gradient: float) -> None:
        self.targets = targets
        self.units = units = targets[-1].stop if targets else 0
        self.samples = 0
        self.flat = self._each(lambda t: t.flat).astype(np.bool_)
        self.saturating = self._each(lambda t: t.audited.kind is Kind.SATURATING).astype(np.bool_)
        self.low = _Edge(self._each(lambda t: _firing_level(t.audited)), upward=False)
        self.low_edge = _Edge(self._each(lambda t: flat_edges(t.audited, flat_gradient)[0]), upward=False)
        self.high_edge = _Edge(self._each(lambda t: flat_edges(t.audited, flat_gradient)[1]), upward=True)
        self._linear = self._each(lambda t: t.audited.kind is Kind.LINEAR).astype(np.bool_)
        self._floor = self._each(lambda t: _floor(t.audited))
        self._sums = {name: np.zeros(units, np.int64) for name in COUNTS}
        self._absolute_sum = np.zeros(units)
        # Extremes by the type they are kept in; a unit's stand in the row of its own.
        self._minimum = {t: np.full(units, largest(t), t) for t in _EXTREME_TYPES}
        self._maximum = {t: np.full(units, smallest(t), t) for t in _EXTREME_TYPES}
        self._integer = self._each(lambda t: extreme_type(t.dtype) == np.int64).astype(np.bool_)
        self._missed = np.zeros(units, np.bool_)  # some feed did not show their minimum
        self._columns: dict[tuple[Statistic, int], _Columns] = {}

    def add(self, reading: Reading) -> None:
        """Count one feed. Every target needs its MAXIMUM; other statistics are used where they are there.

        A reading that is `alarmed` must come with DEFECT, which tells the samples that are not finite.
        """
        blocks, samples = reading.blocks, reading.samples
        good = self._finite(blocks, samples)
        self.samples += samples
        if good is not None:
            self._sums["nonfinite"] += samples - _count(good)
        known = self.flat.copy()
        for block in blocks:
            seen = None if good is None else good[:, block.units]
            if block.statistic is Statistic.MAXIMUM:
                self._columns_of(block).add_maximum(block.array, seen)
                self._add_flat(block, seen)
            elif block.statistic is Statistic.MINIMUM:
                self._columns_of(block).add_minimum(block.array, seen)
                known[block.units] = True
        self._missed |= ~known
        if reading.sizes is not None:
            units = np.array([t.audited.units for t in self.targets])
            self._add_positions(blocks, samples, good, np.repeat(reading.sizes // (units * samples), units))

    def _columns_of(self, block: Block) -> _Columns:
        """A session's readings share their arrays of units; another session's make new columns."""
        key = (block.statistic, id(block.units))
        if key not in self._columns:
            self._columns[key] = _Columns(block, self)  # keeps the array, so its id stays taken
        return self._columns[key]

    def _add_flat(self, block: Block, seen: Bools | None) -> None:
        """The maxima of flat units are their minima too."""
        flat = self._columns_of(block).flat
        if flat.size:
            within = None if seen is None else seen[:, flat]
            array = np.take(block.array, flat, axis=1)  # samples first in memory, as indexing would not have it
            key = (Statistic.MINIMUM, id(flat))
            if key not in self._columns:
                self._columns[key] = _Columns(Block(Statistic.MINIMUM, block.units[flat], array), self)
            self._columns[key].add_minimum(array, within)

    def _settle(self) -> None:
        """Bring what the columns gathered into the row of all units."""
        for columns in self._columns.values():
            units = columns.units
            kept = extreme_type(columns.highest.dtype.name).name
            maximum, minimum = self._maximum[kept], self._minimum[kept]
            maximum[units] = np.maximum(maximum[units], columns.highest)
            minimum[units] = np.minimum(minimum[units], columns.lowest)
            self._sums["fired"][units] += columns.fired
            self._sums["low_samples"][units[columns.curved]] += columns.at_low
            self._sums["high_samples"][units[columns.curved]] += columns.at_high
        self._columns.clear()

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
            return np.asarray(np.isfinite(np.where(self.flat, maximum, defect)))
        if not self.flat.all() or not alarmed(blocks):
            return None
        return np.asarray(np.isfinite(self._rows(blocks, Statistic.MAXIMUM, samples)))

    def suspects(self) -> list[Target]:
        """Targets with positions, narrowed to the units whose minimum must go on being computed.

        These are the units that may yet be constant or always on, and all saturating ones.
        """
        self._settle()
        minimum, maximum = self._doubles(self._minimum), self._doubles(self._maximum)
        with np.errstate(invalid="ignore"):
            varies = maximum - minimum > ROUNDING * np.maximum(np.abs(maximum), np.abs(minimum))
        cleared = np.where(np.isfinite(self._floor), minimum <= self._floor, varies & ~self.saturating)
        left = [(t, np.flatnonzero(~cleared[t.start : t.stop])) for t in self.targets if not t.flat]
        # Units are picked by products with zero: an infinity beside them, which nobody looks for in a linear value, is
        # none of theirs.
        return [
            t
            if len(units) > _few(t) * t.audited.units or t.audited.kind is Kind.LINEAR
            else replace(t, chosen=tuple(units.tolist()))
            for t, units in left
            if len(units)
        ]

    def statistics(self) -> dict[str, UnitStatistics]:
        """What was seen of each target, by value name."""
        self._settle()
        finite = self.samples - self._sums["nonfinite"]
        sums = self._sums | {
            "fired": np.where(self._linear, finite, self._sums["fired"]),
            "flat_samples": np.where(self.saturating, finite, 0),
        }
        # A rectifier that was seen at its lower bound cannot go below it: its minimum is known for good.
        exact = ~self._missed | (self._doubles(self._minimum) == self._floor)
        result = {}
        for target in self.targets:
            part, kept = slice(target.start, target.stop), extreme_type(target.dtype).name
            result[target.audited.value] = UnitStatistics(
                samples=self.samples,
                minimum=self._minimum[kept][part].copy(),
                maximum=self._maximum[kept][part].copy(),
                minimum_exact=exact[part].copy(),
                absolute_sum=self._absolute_sum[part].copy(),
                **{name: total[part].copy() for name, total in sums.items()},
            )
        return result

    def _doubles(self, extremes: Mapping[str, Array]) -> Floats:
        """Extremes of all units, rounded where they are large integers."""
        return np.where(self._integer, extremes["int64"], extremes["float64"])

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


def _few(target: Target) -> float:
    return FEW_APART if target.audited.axis == target.audited.rank - 1 else FEW


def flat_edges(audited: AuditedValue, gradient: float) -> tuple[float, float]:
    """Outputs at or below the first, or at or above the second, lie where the activation's gradient is below.

    Sigmoid, Tanh and Softsign have their own formula, scaled to [low, high]; other saturating kinds take Tanh's.
    Kinds that do not saturate have no such outputs.
    """
    if audited.kind is not Kind.SATURATING:
        return -np.inf, np.inf
    low = -1.0 if audited.low is None else audited.low
    high = 1.0 if audited.high is None else audited.high
    curve = audited.op.rpartition("+")[2].removeprefix("QLinear")  # of `FusedConv+Sigmoid`, too
    # How far, as a share of the range, an output is from its asymptote when the gradient equals `gradient`.
    if curve == "Sigmoid":
        share = (1 - np.sqrt(max(0.0, 1 - 4 * gradient))) / 2  # y (1 - y) = g
    elif curve == "Softsign":
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
