"""A statistic: what it adds to the graph, and what it makes of the results of all feeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.statistics import Bools, Ints
from analyzer.graph import Editor
from analyzer.observe.targets import Target
from analyzer.observe.unit_row import UnitRow

WIDE = frozenset(("float64", "int32", "int64", "uint32"))  # float32 does not hold all their values


@dataclass(frozen=True, slots=True)
class Block:
    """Results of one statistic: column j of `array` [samples, columns] belongs to unit `units[j]` of all units."""

    statistic: type[Statistic]
    units: Ints
    array: Array


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed that was run: `finite` [samples, units] marks what is neither NaN nor infinite (None: nobody looked).

    `positions` [units]: how many one sample has (None: not counted).
    """

    samples: int
    finite: Bools | None = None
    positions: Ints | None = None


class Statistic(ABC):
    """One number per sample and unit, over all positions of the sample: computed in the graph, gathered here.

    The class says what is computed; an object gathers it for all units in one row.
    """

    #: The operator that joins positions.
    reduction: ClassVar[str]
    #: The global pooling operator that does the same in the layout of convolutions; None: there is none.
    pool: ClassVar[str | None] = None
    #: Whether a NaN or an infinity of the value shows in it.
    alarms: ClassVar[bool] = False
    #: Whether onnxruntime joins many positions faster in two steps.
    in_steps: ClassVar[bool] = False

    def __init__(self, row: UnitRow) -> None:
        self.row = row

    @classmethod
    def element_type(cls, dtype: str) -> str:
        """In which type it is computed of a value of this type: one that loses no digits."""
        return "float64" if dtype in WIDE else "float32"

    @classmethod
    def elements(cls, editor: Editor, name: str, dtype: str) -> str:
        """Append what makes of the value, in the type that the statistic is computed in, the elements to be joined."""
        return name

    @abstractmethod
    def add(self, blocks: Sequence[Block], feed: Feed) -> None:
        """Take a feed into account: no block where it was not computed, else one for each element type."""

    @abstractmethod
    def fields(self, target: Target) -> dict[str, Array]:
        """What it says of the units of a target, as fields of `UnitStatistics` (there stands how two parts merge)."""

    def counted(self, blocks: Sequence[Block], feed: Feed) -> Array:
        """The results of finite samples [samples, units], zero for others."""
        array = all_units(blocks, feed.samples, self.row.units)
        return array if feed.finite is None else np.where(feed.finite, array, 0)


def all_units(blocks: Sequence[Block], samples: int, units: int) -> Array:
    """One statistic [samples, units] put together for all units; zeros where it was not computed."""
    if len(blocks) == 1 and blocks[0].array.shape[1] == units:
        return blocks[0].array
    array = np.zeros((samples, units), np.result_type(np.float32, *(b.array.dtype for b in blocks)))
    for block in blocks:
        array[:, block.units] = block.array
    return array


def count(marked: Bools, counted: Bools | None = None) -> Ints:
    """How many samples are marked, and counted if that is given, per unit."""
    both = marked if counted is None else marked & counted
    # Small counters add up many at a time.
    counter = np.uint8 if len(both) < 256 else np.int64
    total: Ints = both.view(np.uint8).sum(axis=0, dtype=counter).astype(np.int64)
    return total
