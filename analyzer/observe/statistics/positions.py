"""What is added up over positions: how many are zero, and |x|."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import Editor
from analyzer.observe.statistics.statistic import Block, Feed, Statistic
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow


class Nonzero(Statistic):
    """How many positions are not exactly zero, and with it how many are."""

    reduction = "ReduceSum"

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._positions, self._zeros = np.zeros(row.units, np.int64), np.zeros(row.units, np.int64)

    @classmethod
    def elements(cls, editor: Editor, name: str, dtype: str) -> str:
        """A cast to bool tests against zero in every opset and type; Equal does not take floats before 11."""
        marked = editor.cast(name, "bool")
        return editor.cast(marked, cls.element_type(dtype))

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        if feed.positions is not None:
            samples = feed.samples if feed.finite is None else feed.finite.sum(axis=0)
            self._positions += feed.positions * samples
            self._zeros += feed.positions * samples - self.counted(blocks, feed).sum(axis=0, dtype=np.int64)

    def fields(self, target: Target) -> dict[str, Array]:
        return {"positions": self._positions[target.part], "zeros": self._zeros[target.part]}


class Magnitude(Statistic):
    """The sum of |x|."""

    reduction = "ReduceSum"
    alarms = True

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._sum = np.zeros(row.units)

    @classmethod
    def elements(cls, editor: Editor, name: str, dtype: str) -> str:
        return editor.add("Abs", [name])

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        if blocks:
            self._sum += self.counted(blocks, feed).sum(axis=0, dtype=np.float64)

    def fields(self, target: Target) -> dict[str, Array]:
        return {"absolute_sum": self._sum[target.part]}
