"""Adds the results of each feed to the statistics of all units at once, and says which values are still suspect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import Kind
from analyzer.facts.verdicts import undecided
from analyzer.observe.flat_units import FlatUnits
from analyzer.observe.instrument import Reading
from analyzer.observe.statistics.finiteness import Defect, finite_samples
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.positions import Magnitude, Nonzero
from analyzer.observe.statistics.statistic import Block, Feed, Statistic
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow

# A spread this many times smaller than the values may be rounding: such a unit is not yet cleared of being constant.
ROUNDING = 1e-4
# Up to this share of a value's units, picking them out is cheaper than reducing them all; units on the last axis are
# picked element by element.
PICKED, PICKED_ONE_BY_ONE = 0.25, 0.02


class Tally:
    """Running statistics of all units of all targets, in one row; UnitStatistics says what each number means."""

    def __init__(self, targets: Sequence[Target], flat_gradient: float) -> None:
        self.targets = targets
        self.samples = 0
        self._counted = np.zeros(len(targets), np.int64)  # samples, by target
        self._row = UnitRow(targets, flat_gradient)
        self._maximum, self._minimum = Maximum(self._row), Minimum(self._row)
        others = (kind(self._row) for kind in (Defect, Nonzero, Magnitude))
        self._statistics: list[Statistic] = [self._maximum, self._minimum, *others]
        self._flat = FlatUnits(self._row)

    def add(self, reading: Reading, counted: Sequence[Target] | None = None) -> None:
        """Count one feed, for these targets (None: for all). They need their Maximum; other statistics may be there.

        A reading that is `alarmed` must come with Defect, which shows the samples that are not finite.
        """
        blocks: defaultdict[type[Statistic], list[Block]] = defaultdict(list)
        for block in reading.blocks:
            blocks[block.statistic].append(block)
        for block in blocks[Maximum]:
            blocks[Minimum] += self._flat.minima(block)
        finite = finite_samples(self._row, blocks[Defect], blocks[Maximum], reading.samples)
        feed = Feed(reading.samples, finite, reading.positions(self.targets))
        self.samples += reading.samples
        starts = None if counted is None else {target.start for target in counted}
        shown = [starts is None or t.start in starts for t in self.targets]
        self._counted += reading.samples * np.array(shown, np.int64)
        for statistic in self._statistics:
            statistic.add(blocks[type(statistic)], feed)

    def suspects(self) -> list[Target]:
        """Targets with positions, narrowed to the units whose minimum must go on being computed.

        These are the units that may yet be constant or always on, and all saturating ones.
        """
        row, minimum, maximum = self._row, self._minimum.doubles(), self._maximum.doubles()
        with np.errstate(invalid="ignore"):
            varies = maximum - minimum > ROUNDING * np.maximum(np.abs(maximum), np.abs(minimum))
        cleared = np.where(np.isfinite(row.floor), minimum <= row.floor, varies & ~row.saturating)
        left = [(t, np.flatnonzero(~cleared[t.part])) for t in self.targets if not t.flat]
        # Units are picked by products with zero: an infinity beside them, which nobody looks for in a linear value, is
        # none of theirs.
        return [
            t
            if len(units) > _worth_picking(t) * t.audited.units or t.audited.kind is Kind.LINEAR
            else replace(t, chosen=tuple(units.tolist()))
            for t, units in left
            if len(units)
        ]

    def statistics(self) -> dict[str, UnitStatistics]:
        """What was seen of each target, by value name."""
        return {t.audited.value: self._of(t, int(n)) for t, n in zip(self.targets, self._counted, strict=True)}

    def undecided(self, thresholds: Thresholds, samples: int) -> list[Target]:
        """Targets of whose units more samples, up to so many in all, may still change a verdict."""
        known = zip(self.targets, self._counted, strict=True)
        return [t for t, n in known if undecided(t.audited, self._of(t, int(n)), thresholds, samples).any()]

    def _of(self, target: Target, samples: int) -> UnitStatistics:
        fields = {name: array.copy() for s in self._statistics for name, array in s.fields(target).items()}
        finite = samples - fields["nonfinite"]
        fields["flat_samples"] = finite if target.audited.kind is Kind.SATURATING else np.zeros_like(finite)
        if target.audited.kind is Kind.LINEAR:
            fields["fired"] = finite
        return UnitStatistics(samples=samples, **fields)


def _worth_picking(target: Target) -> float:
    return PICKED_ONE_BY_ONE if target.audited.axis == target.audited.rank - 1 else PICKED
