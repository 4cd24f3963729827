"""Units with one position per sample: what is computed there follows from the maximum, which is the value itself."""

from __future__ import annotations

import numpy as np

from analyzer.facts.statistics import Ints
from analyzer.observe.statistics.statistic import Block, Statistic
from analyzer.observe.unit_row import UnitRow


class FlatUnits:
    """Makes blocks of other statistics from blocks of maxima."""

    def __init__(self, row: UnitRow) -> None:
        self._row = row
        self._known: dict[int, tuple[Ints, Ints, Ints]] = {}

    def blocks(self, maxima: Block, *kinds: type[Statistic]) -> list[Block]:
        """A block of each kind for the flat units in a block of maxima, where it has some."""
        if id(maxima.units) not in self._known:  # with the array, so that its id stays taken
            columns = np.flatnonzero(self._row.flat[maxima.units])
            self._known[id(maxima.units)] = maxima.units, columns, maxima.units[columns]
        _, columns, units = self._known[id(maxima.units)]
        if not columns.size:
            return []
        values = np.take(maxima.array, columns, axis=1)  # samples first in memory, as indexing would not have it
        return [Block(kind, units, kind.of_one_position(values)) for kind in kinds]
