"""Which rows of an embedding the data gathers, and how much the rest of the data may gather beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import ClassVar

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.bound import CONFIDENCE
from analyzer.facts.counts import Counted
from analyzer.facts.wording import counted

INDEX_BYTES = 8  # of an entry in the map from ids to the rows that stay


@dataclass(frozen=True, eq=False)
class GatheredRows(Counted):
    """One stored table whose rows are looked up by ids that the model is fed, or that it chooses by itself.

    `counts` [rows] is how often each row was gathered. `outputs` are what its look-ups give; `needed` says what else
    needs all of its rows (empty: those that nothing gathered can go). `numbers` of `itemsize` bytes are stored in each
    row. `holdout` are the counts of a second data set. `inputs` of the model are what ids come from.
    """

    table: str
    outputs: tuple[str, ...]
    counts: Array
    numbers: int
    needed: str = ""
    holdout: Array | None = None
    inputs: tuple[str, ...] = ()
    itemsize: int = 4
    words: ClassVar[tuple[str, str, str]] = ("row", "gathered", "look-up")

    @property
    def label(self) -> str:
        """The table."""
        return self.table

    @property
    def names(self) -> tuple[str, ...]:
        """What the user may call it: the table, or what its look-ups give."""
        return self.table, *self.outputs

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(self.counts)

    def kept(self, unseen_id: int | None) -> Array:
        """The rows that stay, in order: those that were gathered, and that of the id which others are read as."""
        further = [] if unseen_id is None else [unseen_id]
        return np.union1d(self.seen, further).astype(np.int64)

    def lost(self, unseen_id: int | None = None) -> int:
        """How many rows go: none where they take no more than the map of ids that goes in front."""
        lost = self.rows - len(self.kept(unseen_id))
        pays = lost * self.numbers * self.itemsize > self.rows * INDEX_BYTES
        return lost if pays and not self.needed else 0

    @property
    def stays(self) -> str:
        """Why none of its rows goes; empty where some can."""
        if self.needed or self.lost():
            return self.needed
        left = self.rows - len(self.seen)
        return f"a map of ids would take as much as the {counted(left, 'row')} not gathered" if left else "all gathered"

    @property
    def unseen_bound(self) -> float | None:
        """The share of look-ups that rows not seen have, at most, with 95 % confidence, if look-ups are independent.

        With M the share of what was not seen in n look-ups and G the estimate above: E[M] <= E[G]. One look-up changes
        G by 2 / n at most, so G falls short of its mean by sqrt(2 ln(2 / d) / n) with probability d / 2 (McDiarmid); M
        exceeds its own by sqrt(ln(2 / d) / n) with probability d / 2 (McAllester and Ortiz, "Concentration inequalities
        for the missing mass and for histogram rule error", JMLR 4, 2003).
        """
        estimate, doubt = self.unseen_share, 1 - CONFIDENCE
        if estimate is None:
            return None
        return min(1.0, estimate + (1 + sqrt(2)) * sqrt(log(2 / doubt) / self.gathered))

    @property
    def removable(self) -> int:
        """Numbers in the rows that can go."""
        return self.lost() * self.numbers
