"""The smallest output: whether a unit is constant, or never leaves its linear region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.observe.statistics.extreme import Extreme
from analyzer.observe.statistics.statistic import Block, Feed
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow


class Minimum(Extreme):
    """The smallest output of a sample; pooled, it is the largest one of what has the other sign."""

    reduction = "ReduceMin"
    pool = "GlobalMaxPool"
    greatest = False

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._missed = np.zeros(row.units, np.bool_)  # some feed did not show it of them

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        super().add(blocks, feed)
        shown = np.zeros_like(self._missed)
        for block in blocks:
            shown[block.units] = True
        self._missed |= ~shown

    def fields(self, target: Target) -> dict[str, Array]:
        """A rectifier that was seen at its lower bound cannot go below it: its minimum is known for good."""
        at_floor = self.doubles(target.part) == self.row.floor[target.part]
        return super().fields(target) | {"minimum_exact": ~self._missed[target.part] | at_floor}
