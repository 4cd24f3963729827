"""Whether something is NaN or infinite, which onnxruntime's maxima and minima do not show of NaN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.statistics import Bools
from analyzer.graph import Editor
from analyzer.observe.statistics.statistic import Block, Feed, Statistic, all_units, count
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow


class Mean(Statistic):
    """The mean, which any NaN or infinity turns into one; nothing else is asked of it."""

    reduction = "ReduceMean"
    pool = "GlobalAveragePool"
    alarms = True

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        """Nothing is gathered."""

    def fields(self, target: Target) -> dict[str, Array]:
        return {}


class Defect(Statistic):
    """The sum of x - x: zero, or NaN when some position is not finite; of a flat unit the maximum shows as much."""

    reduction = "ReduceSum"

    def __init__(self, row: UnitRow) -> None:
        super().__init__(row)
        self._nonfinite = np.zeros(row.units, np.int64)

    @classmethod
    def elements(cls, editor: Editor, name: str, dtype: str) -> str:
        return editor.add("Sub", [name, name])

    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        if feed.finite is not None:
            self._nonfinite += feed.samples - count(feed.finite)

    def fields(self, target: Target) -> dict[str, Array]:
        return {"nonfinite": self._nonfinite[target.part]}


def finite_samples(row: UnitRow, defects: Sequence[Block], maxima: Sequence[Block], samples: int) -> Bools | None:
    """Samples and units without a NaN or an infinity; None while nobody looked for them."""
    if not defects and not row.flat.all():
        return None
    shown = all_units(maxima, samples, row.units)
    if defects:
        shown = np.where(row.flat, shown, all_units(defects, samples, row.units))
    finite = np.asarray(np.isfinite(shown))
    return finite if defects or not finite.all() else None
