"""Points run through the model, and what they show of every value that is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import OtherBranch, RunError
from analyzer.facts.units import AuditedValue, Kind, SampleAxis, ShapeTable
from analyzer.graph import LoadedModel
from analyzer.observe.instrument import Instrument, Reading
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.steps import moved, over_steps
from analyzer.observe.targets import Target, targets_of
from analyzer.shapes.batching import BatchPlan
from analyzer.witness.claims import Claims, Seen
from analyzer.witness.points import Points, count_of, taken


@dataclass(frozen=True)
class Feeding:
    """How points become feeds: several in one where that is known to change nothing, else one by one.

    `samples`: how many one point holds, where the model takes no fewer.
    """

    shapes: ShapeTable
    batch_size: int
    varying: frozenset[str]

    @property
    def together(self) -> int:
        """How many points share a feed."""
        axes = [self.shapes.sample_axes.get(name, SampleAxis(None)) for name in self.varying]
        apart = self.shapes.independent and not self.shapes.scrambled and all(a == SampleAxis(0) for a in axes)
        return self.batch_size if apart and axes and self.shapes.samples == 1 else 1

    @property
    def plan(self) -> BatchPlan:
        """The same, for what runs the model."""
        if self.together == 1:
            return BatchPlan(self.shapes.samples, inseparable=self.shapes.samples)
        return BatchPlan(self.together, self.shapes.free_inputs)

    def feed(self, points: Points, alone: bool = False) -> Points:
        """One feed of points that may share one."""
        if alone:
            return {name: np.asarray(array[0]) for name, array in points.items()}
        sliced = {name for name in points if self.shapes.sample_axes.get(name) == SampleAxis(0)}
        return {
            n: array.reshape(-1, *array.shape[2:]) if n in sliced else np.asarray(array[0])
            for n, array in points.items()
        }


class Sight:
    """Sessions that show, of many points, the extremes of each unit; `alone`: each point is run by itself."""

    def __init__(
        self, loaded: LoadedModel, claims: Claims, feeding: Feeding, *, threads: int | None, alone: bool = False
    ) -> None:
        shapes = feeding.shapes
        loaded, shapes, stacked = over_steps(loaded, shapes, claims.values)
        self._names = {stack: name for name, stack in stacked.items()}
        self._feeding, self._alone = feeding, alone or feeding.together == 1
        plan = BatchPlan(shapes.samples, inseparable=shapes.samples) if self._alone else feeding.plan
        asked = [moved(value, stacked, shapes) for value in _asked(claims, shapes)]
        self._targets, unseen = targets_of(asked, loaded.graph, shapes, plan.batchable)
        self.unseen = [self._names.get(name, name) for name in unseen]
        layered = [t for t in self._targets if not t.flat]
        self._instrument = Instrument(loaded, {Maximum: self._targets, Minimum: layered}, plan, threads=threads)
        self._refused = 0

    def close(self) -> None:
        """Free the sessions."""
        self._instrument.close()

    @property
    def together(self) -> int:
        """How many points share a run."""
        return 1 if self._alone else self._feeding.together

    def look(self, points: Points, goes_on: Callable[[], bool] = lambda: True) -> tuple[Points, Seen]:
        """Run the points as long as it `goes_on`, all but those that the model refuses or that take other branches."""
        shown, kept = list[Seen](), list[Array]()
        for start in range(0, count_of(points), self.together):
            stop = min(start + self.together, count_of(points))
            piece = taken(points, slice(start, stop))
            try:
                seen = self._run(piece, stop - start)
            except (RunError, OtherBranch):
                continue
            shown.append(seen)
            kept.append(np.arange(start, stop))
            if not goes_on():
                break
        places = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        return taken(points, places), self._joined(shown)

    def _run(self, points: Points, count: int) -> Seen:
        feeds = self._feeding.feed(points, self._alone)
        reading = self._instrument.run(feeds, 1 if self._alone else count)
        return _seen(reading, self._targets, self._names)

    def _joined(self, shown: Sequence[Seen]) -> Seen:
        names = [self._names.get(t.audited.value, t.audited.value) for t in self._targets]
        widths = {name: t.audited.units for name, t in zip(names, self._targets, strict=True)}

        def rows(sides: Sequence[Mapping[str, Array]], name: str) -> Array:
            return np.concatenate([side[name] for side in sides]) if sides else np.zeros((0, widths[name]))

        return Seen(
            {name: rows([s.largest for s in shown], name) for name in names},
            {name: rows([s.smallest for s in shown], name) for name in names},
        )


def _asked(claims: Claims, shapes: ShapeTable) -> list[AuditedValue]:
    """The values of the claims, and what enters them as values of no activation."""
    asked = {layer.audited.value: layer.audited for layer in claims.layers}
    for layer in claims.layers:
        for aim in (aim for unit in layer.aims for aim in unit):
            shape = shapes.shapes.get(aim.value)
            if aim.value not in asked and shape is not None:
                kind = shapes.dtypes.get(aim.value, "float32")
                asked[aim.value] = AuditedValue(
                    aim.value, "", "", Kind.LINEAR, aim.axis, layer.audited.units, len(shape), dtype=kind
                )
    return [*asked.values()]


def _seen(reading: Reading, targets: Sequence[Target], names: Mapping[str, str]) -> Seen:
    units = targets[-1].stop if targets else 0
    rows = len(reading.blocks[0].array) if reading.blocks else 0
    largest, smallest = np.full((rows, units), np.nan), np.full((rows, units), np.nan)
    for block in reading.blocks:
        (largest if block.statistic is Maximum else smallest)[:, block.units] = block.array
    for target in targets:
        if target.flat:
            smallest[:, target.part] = largest[:, target.part]
    own = {names.get(t.audited.value, t.audited.value): t.part for t in targets}
    return Seen({n: largest[:, p] for n, p in own.items()}, {n: smallest[:, p] for n, p in own.items()})
