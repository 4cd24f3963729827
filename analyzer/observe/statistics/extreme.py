"""What the maximum and the minimum share: extremes in the type of the value, and samples in the flat region there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from analyzer.algebra.pattern import Array, type_name
from analyzer.facts.statistics import Bools, Floats, extreme_type, largest, smallest
from analyzer.observe.statistics.statistic import Block, Feed, Statistic, count
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow

_EVERY = slice(None)


class Extreme(Statistic):
    """The largest or smallest output; of 64-bit integers as an integer, which doubles do not tell apart."""

    alarms = True
    in_steps = True
    greatest: ClassVar[bool]

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._extremes = {t: np.full(row.units, self.nothing(t), t) for t in row.extreme_types}
        self._fired, self._flat_samples = np.zeros(row.units, np.int64), np.zeros(row.units, np.int64)
        self._columns: dict[int, _Columns] = {}

    @classmethod
    def element_type(cls, dtype: str) -> str:
        return dtype if dtype == "int64" else super().element_type(dtype)

    @classmethod
    def nothing(cls, dtype: str) -> float:
        """The extreme of no outputs."""
        return smallest(dtype) if cls.greatest else largest(dtype)

    @classmethod
    def join(cls) -> np.ufunc:
        """What makes one extreme of two."""
        return np.maximum if cls.greatest else np.minimum

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        """Count one feed; a session's readings share their arrays of units."""
        for block in blocks:
            if id(block.units) not in self._columns:  # the columns keep the array, so its id stays taken
                self._columns[id(block.units)] = _Columns(block, self)
            finite = None if feed.finite is None else feed.finite[:, block.units]
            self._columns[id(block.units)].add(block.array, finite)

    def doubles(self, part: slice = _EVERY) -> Floats:
        """The extremes of these units, rounded where they are large integers."""
        self._settle()
        if "int64" not in self._extremes:  # of millions of units each array counts
            return self._extremes["float64"][part].copy()
        whole, broken = (self._extremes[kind][part] for kind in ("int64", "float64"))
        return np.where(self.row.integer[part], whole, broken)

    def fields(self, target: Target) -> dict[str, Array]:
        self._settle()
        flat, extremes = (
            self._flat_samples[target.part],
            self._extremes[type_name(extreme_type(target.dtype))][target.part],
        )
        if not self.greatest:
            return {"minimum": extremes, "high_samples": flat}
        return {"maximum": extremes, "low_samples": flat, "fired": self._fired[target.part]}

    def _settle(self) -> None:
        """Bring what the columns gathered into the row of all units."""
        for columns in self._columns.values():
            row, units = self._extremes[type_name(extreme_type(columns.extremes.dtype.name))], columns.units
            row[units] = self.join()(row[units], columns.extremes)
            self._fired[units] += columns.fired
            self._flat_samples[units[columns.curved]] += columns.at_edge
        self._columns.clear()


class _Columns:
    """The units of one block, with what its arrays are held against, and their extremes and counts so far.

    Picking units out of all of them takes longer than the arithmetic; here it is done once for many feeds.
    """

    def __init__(self, block: Block, extreme: Extreme) -> None:
        dtype, row = block.array.dtype, extreme.row
        self.units = block.units
        self.nothing, self.join = extreme.nothing(dtype.name), extreme.join()
        self.reaches: np.ufunc = np.less_equal if extreme.greatest else np.greater_equal
        self.low = row.low.for_units(self.units, dtype) if extreme.greatest else None
        self.curved = np.flatnonzero(row.saturating[self.units])
        self.edge = (row.low_edge if extreme.greatest else row.high_edge).for_units(self.units[self.curved], dtype)
        self.extremes = np.full(len(self.units), self.nothing, dtype)
        self.fired = np.zeros(len(self.units), np.int64)
        self.at_edge = np.zeros(len(self.curved), np.int64)

    def add(self, array: Array, finite: Bools | None) -> None:
        """Count the extremes [samples, columns] of a feed."""
        where = True if finite is None else finite
        self.join(self.extremes, self.join.reduce(array, axis=0, initial=self.nothing, where=where), out=self.extremes)
        if self.low is not None:
            self.fired += count(array > self.low, finite)
        if self.curved.size:
            curved, among = np.take(array, self.curved, axis=1), None if finite is None else finite[:, self.curved]
            self.at_edge += count(self.reaches(curved, self.edge), among)
