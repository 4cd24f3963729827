"""Mean and mean square over all positions, in double precision: a deviation is what is left of large numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import Editor
from analyzer.observe.statistics.statistic import Block, Feed, Statistic
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow


class Sum(Statistic):
    """The sum of x, for the mean over the positions."""

    reduction = "ReduceSum"
    name = "mean"

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._sum, self._positions = np.zeros(row.units), np.zeros(row.units)

    @classmethod
    def element_type(cls, dtype: str) -> str:
        return "float64"

    @classmethod
    def of_one_position(cls, values: Array) -> Array:
        return values.astype(np.float64)

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            for block in blocks:
                finite = None if feed.finite is None else feed.finite[:, block.units]
                rows = block.array if finite is None else np.where(finite, block.array, 0)
                self._sum[block.units] += reduce(np.add, rows)  # in one order, however few units there are
        self._positions += 0 if feed.positions is None else feed.positions * feed.samples

    def fields(self, target: Target) -> dict[str, Array]:
        """The mean over all positions; no field of `UnitStatistics`."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return {self.name: self._sum[target.part] / self._positions[target.part]}


class Squares(Sum):
    """The sum of x squared."""

    name = "mean square"

    @classmethod
    def of_one_position(cls, values: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.square(values, dtype=np.float64)

    @classmethod
    def elements(cls, editor: Editor, name: str, dtype: str) -> str:
        return editor.add("Mul", [name, name])
