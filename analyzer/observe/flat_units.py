"""Units with one position per sample: their minimum is the maximum, which is the value itself."""

from __future__ import annotations

import numpy as np

from analyzer.facts.statistics import Ints
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.statistic import Block
from analyzer.observe.unit_row import UnitRow


class FlatUnits:
    """Makes blocks of minima from blocks of maxima."""

    def __init__(self, row: UnitRow) -> None:
        self._row = row
        self._known: dict[int, tuple[Ints, Ints, Ints]] = {}

    def minima(self, maxima: Block) -> list[Block]:
        """The block of the flat units in a block of maxima, where it has some."""
        if id(maxima.units) not in self._known:  # with the array, so that its id stays taken
            columns = np.flatnonzero(self._row.flat[maxima.units])
            self._known[id(maxima.units)] = maxima.units, columns, maxima.units[columns]
        _, columns, units = self._known[id(maxima.units)]
        if not columns.size:
            return []
        values = np.take(maxima.array, columns, axis=1)  # samples first in memory, as indexing would not have it
        return [Block(Minimum, units, values)]
