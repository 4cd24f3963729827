"""Units that are as good as dead: a bound on how far outputs move where such a unit gives its constant instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.differences import DifferenceGraph
from analyzer.facts.domain import Box
from analyzer.facts.proof import Claim
from analyzer.facts.units import ShapeTable
from analyzer.graph import LoadedModel
from analyzer.ops.shared_context import context_of
from analyzer.runtime.session import Session
from analyzer.witness.claims import LayerClaims
from analyzer.witness.points import Points, count_of, taken

SHARE = 1e-3  # of the largest number that an output showed: what changes no more than that is negligible
SAMPLES = 16  # that show how large outputs are
IN_VAIN = 3  # units in a row, from the least on, whose removal moves outputs further, before a layer is left


class Removals:
    """What removing units of a model does, for every input of a domain."""

    def __init__(
        self,
        loaded: LoadedModel,
        shapes: ShapeTable,
        intervals: Mapping[str, Box],
        bounds: Mapping[str, Box],
        *,
        threads: int | None,
    ) -> None:
        """`intervals` hold for whatever a value between its bounds leads to; `bounds` may be narrower."""
        self._loaded, self._shapes, self._threads = loaded, shapes, threads
        self._intervals, self._bounds = intervals, bounds

    def changes(
        self, layer: LayerClaims, places: Sequence[int], goes_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[int, Mapping[str, float]]]:
        """By place how far each output moves at most without that unit, from the unit that moves least on."""
        value = layer.audited.value
        far = {place: moved for place in places if (moved := self._far(layer, place)) is not None}
        if layer.claim is not Claim.DEAD or not far or not goes_on():
            return
        with DifferenceGraph(self._loaded, self._shapes, value, self._intervals, threads=self._threads) as graph:
            for place in sorted(far, key=lambda p: float(far[p].max(initial=0))):
                if not graph.whole or not goes_on():
                    return
                yield place, graph.moved(far[place])

    def _far(self, layer: LayerClaims, place: int) -> Array | None:
        """How far each number of the unit is from its constant at most; None where that has no bound."""
        audited, constant = layer.audited, layer.stays_at[place]
        context, boxes = context_of(self._loaded.graph, self._shapes.of_single_samples), (self._intervals, self._bounds)
        call = context.by_node[context.graph.producer[audited.value].index]
        if any(audited.value not in side for side in boxes) or call.rule.sums_to_one(call.op) is not None:
            return None  # among entries that add up to 1 no single one is changed
        own = tuple(int(layer.units[place]) if a == audited.axis else slice(None) for a in range(audited.rank))
        wide, box = (side[audited.value] for side in boxes)
        if not ((wide.low[own] <= constant) & (constant <= wide.high[own])).all():
            return None
        far = np.zeros(box.low.shape)
        far[own] = np.maximum(box.high[own].astype(np.float64) - constant, constant - box.low[own].astype(np.float64))
        return np.maximum(far, 0) if np.isfinite(far).all() else None


def negligible(
    removals: Removals,
    layer: LayerClaims,
    places: Sequence[int],
    sizes: Mapping[str, float],
    goes_on: Callable[[], bool],
) -> dict[int, float]:
    """By place the largest change of any output, where it is small beside the largest numbers that outputs showed."""
    found, vain = dict[int, float](), 0
    for place, moved in removals.changes(layer, places, goes_on):
        if small(moved, sizes):
            found[place], vain = max(moved.values(), default=0.0), 0
        elif (vain := vain + 1) >= IN_VAIN:
            break
    return found


def small(moved: Mapping[str, float], sizes: Mapping[str, float], room: float = 0.0) -> bool:
    """Whether no output changes by more than a thousandth of its size (and by `room`, a share, more than that)."""
    return all(far <= SHARE * sizes.get(name, 0.0) * (1 + room) for name, far in moved.items())


def output_sizes(loaded: LoadedModel, samples: Points, *, threads: int | None) -> tuple[dict[str, float], Points]:
    """The largest magnitude that each output shows for the first `SAMPLES` samples, and the samples that show these."""
    sizes, largest = dict[str, float](), dict[str, int]()
    with Session(loaded, threads=threads) as session:
        for place in range(min(count_of(samples), SAMPLES)):
            for name, array in session.run({n: np.asarray(entries[place]) for n, entries in samples.items()}).items():
                if array.dtype.kind == "f" and np.isfinite(array).all():
                    size = float(np.abs(array).max(initial=0))
                    if size > sizes.get(name, -1.0):
                        sizes[name], largest[name] = size, place
    return sizes, taken(samples, np.unique(np.array([*largest.values()], np.int64)))
