"""What is reduced: audited values with the place of their units among all units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from analyzer.facts.statistics import Ints
from analyzer.facts.units import AuditedValue, SampleAxis, ShapeTable
from analyzer.graph import Graph
from analyzer.observe.pooling import lengths_are_fixed, pooled_maximum

UNREDUCED = "uint64"  # onnxruntime reduces none of its own type, and doubles do not tell its values apart


@dataclass(frozen=True, slots=True)
class Target:
    """An audited value ready to be reduced; its units lie at start:stop among all units of the observation."""

    audited: AuditedValue
    sample: SampleAxis
    dtype: str
    start: int
    folded: bool = False  # the sample axis holds positions too, in some feed at least
    places: int = 1  # positions of one sample, as measured
    behind: str | None = None  # a value with the same maxima that is quicker to read
    chosen: tuple[int, ...] | None = None  # only these units are wanted (None: all)

    @property
    def width(self) -> int:
        """How many units are wanted."""
        return self.audited.units if self.chosen is None else len(self.chosen)

    @property
    def units(self) -> Ints:
        """Places of the wanted units among all units."""
        return self.start + np.arange(self.audited.units) if self.chosen is None else self.start + np.array(self.chosen)

    @property
    def stop(self) -> int:
        """End of its units among all units."""
        return self.start + self.audited.units

    @property
    def positions(self) -> tuple[int, ...]:
        """Axes that hold positions: neither samples nor units."""
        return tuple(a for a in range(self.audited.rank) if a not in (self.sample.axis, self.audited.axis))

    @property
    def part(self) -> slice:
        """Where its units lie among all units."""
        return slice(self.start, self.stop)

    @property
    def flat(self) -> bool:
        """Whether each unit has a single position per sample, so that every extreme is the value itself."""
        return not self.positions and not self.folded


def targets_of(
    audited: Iterable[AuditedValue], graph: Graph, shapes: ShapeTable, batched: bool
) -> tuple[list[Target], list[str]]:
    """Targets for the values that the run can show, in the order of the graph, and names of those it cannot."""
    targets: list[Target] = []
    unseen: list[str] = []
    start, fixed = 0, lengths_are_fixed(graph, shapes)
    for value in sorted(audited, key=lambda a: graph.producer[a.value].index if a.value in graph.producer else -1):
        sample = shapes.sample_axes.get(value.value, SampleAxis(None)) if batched else SampleAxis(None)
        shape = shapes.shapes.get(value.value)
        fits = shape is not None and value.axis < len(shape) and shape[value.axis] == value.units
        single = value.rank == 1 and sample == SampleAxis(0)  # one number for each sample: a single unit
        dtype = shapes.dtypes.get(value.value, "float32")
        if shape is None or not fits or (sample.axis == value.axis and not single) or dtype == UNREDUCED:
            unseen.append(value.value)
            continue
        free = sample.axis in shapes.dynamic.get(value.value, ())  # samples times a length that inputs leave free
        target = Target(value.of_type(dtype), sample, dtype, start, folded=sample.rows > 1 or free)
        places = prod((sample.rows, *(shape[a] for a in target.positions)))
        behind = pooled_maximum(graph, shapes, value) if fixed else None
        targets.append(replace(target, places=places, behind=behind))
        start = targets[-1].stop
    return targets, unseen


def elements(targets: Iterable[Target]) -> int:
    """How much of a sample is read for them: a value is read as a whole, however few of its units are wanted."""
    return sum(t.audited.units * t.places for t in targets)
