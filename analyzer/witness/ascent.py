"""Steps towards where units move, by gradients that go through what is flat as if it sloped a little.

Behind units that are dead no gradient is left; a flat activation that pretends to have a slope, less of it step by
step, lets one through. That is decisive behind dead layers, and it needs to be no more than a hint: what is found so is
run through the model itself before it counts.

One session shows the extremes of all values that are asked about and carries gradients of all of them back together, so
that every step towards some units is a look at all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Bools
from analyzer.facts.units import SampleAxis
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.reductions import reduce_axes
from analyzer.graph.subgraphs import Role
from analyzer.ops.context import Context
from analyzer.ops.pull_back import Tape
from analyzer.runtime.session import Session
from analyzer.witness.claims import Aim, Seen
from analyzer.witness.points import Points, count_of, joined, taken
from analyzer.witness.sight import Feeding

STEPS = 25
SPREAD = 8  # the share of a map by which goals on one point keep away from one another
NARROWEST = 0.02  # the least that a step is, as a share of the width of the domain


@dataclass(frozen=True)
class Goal:
    """Where a point is to go: the extreme of a unit of a value passes a limit (as in `Aim`).

    `weight`: how much its gradient counts beside those of other goals of the point.
    """

    value: str
    unit: int
    sign: int
    limit: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Watched:
    """One of the values: lengths and unit axis in one sample, and names in the graph.

    `pick`: factors of its elements in the sum that is climbed. `units`: those of which whole `maps` are shown.
    `extremes`: by sign the largest or the smallest numbers of all units.
    """

    lengths: tuple[int, ...]
    axis: int
    dtype: str
    pick: str
    units: str
    maps: str
    extremes: Mapping[int, str]


@dataclass(frozen=True)
class _Shown:
    """What points show: extremes, by input the gradients of what was picked, and maps [points, units, positions…]."""

    seen: Seen
    gradients: Points
    maps: Mapping[str, Array]


class Ascent:
    """A model with the gradient of sums over some of its values, with respect to the inputs that vary and hold floats.

    `reached` are these inputs, `values` those that have a gradient. `blocked`: for each of the others the operators on
    the way that have none.
    """

    def __init__(
        self, loaded: LoadedModel, context: Context, aims: Iterable[Aim], feeding: Feeding, *, threads: int | None
    ) -> None:
        self._feeding, self._batched = feeding, feeding.together > 1
        self.reached: tuple[str, ...] = ()
        self._outputs: list[str] = []
        self._watched: dict[str, _Watched] = {}
        floats = [n for n in sorted(feeding.varying) if self._is_float(n)]
        by_value: dict[str, list[Aim]] = {}
        for aim in aims:
            by_value.setdefault(aim.value, []).append(aim)
        fit = {
            v: some for v, some in by_value.items() if floats and v not in loaded.graph.inside and self._fits(some[0])
        }
        self.blocked: dict[str, set[str]] = {value: set() for value in by_value if value not in fit}
        while fit and not self.reached:  # again without those that turn out to have none
            editor = Editor(loaded.copy())
            gradients = self._append(editor, context, fit, floats)
            fit = {value: some for value, some in fit.items() if value not in self.blocked}
            if not fit or len(fit) < len(self._watched):
                continue
            shown = [name for w in self._watched.values() for name in (w.maps, *w.extremes.values())]
            self.reached, self._outputs = tuple(gradients), [*gradients.values()]
            editor.output(*dict.fromkeys([*shown, *self._outputs]))
            editor.finish()
            editor.drop_unread_inputs(but=[*loaded.graph.inputs, self._slope])
            self._session = Session(editor.loaded, threads=threads)
        self._blank: dict[tuple[str, int], Array] = {}

    @property
    def values(self) -> tuple[str, ...]:
        """The values that have a gradient."""
        return tuple(self._watched) if self.reached else ()

    def close(self) -> None:
        """Free the session."""
        if self.reached:
            self._session.close()

    def climb(
        self,
        points: Points,
        boxes: Sequence[Mapping[str, Box]],
        goals: Sequence[Sequence[Goal]],
        slope: float,
        widest: float,
        look: Callable[[Points, Seen], None],
        goes_on: Callable[[], bool],
    ) -> None:
        """Move points in a few steps, each within its box and towards all its goals together, until it reached them.

        Flat activations pretend to have the slope, less of it step by step; the first step is so wide, as a share of
        the width of the domain. `look` is told what points show on the way. It ends early where it no longer `goes_on`.

        Raises:
            RunError: the model does not run on some.
        """
        current = {name: array.copy() for name, array in points.items()}
        left = [[*some] for some in goals]
        places: list[list[int]] = [[] for _ in goals]
        for step in range(STEPS + 2):  # the first one only looks where to go
            moving = [point for point, some in enumerate(left) if some]
            if not moving or (step and not goes_on()):
                break
            asked, done = [left[point] for point in moving], max(step - 1, 0) / STEPS
            now = taken(current, np.array(moving))
            shown = self._run(now, asked, [places[point] for point in moving], slope * (1 - done))
            look(now, shown.seen)
            for row, point in enumerate(moving):
                if not step:
                    places[point] = self._places(shown.maps, row, asked)
                open_ = [i for i, goal in enumerate(left[point]) if not _reached(goal, shown.seen, row)]
                left[point], places[point] = [left[point][i] for i in open_], [places[point][i] for i in open_]
            if step:
                self._step(current, boxes, moving, shown.gradients, max(widest * (1 - done), NARROWEST))

    def _places(self, maps: Mapping[str, Array], row: int, asked: Sequence[Sequence[Goal]]) -> list[int]:
        """For each goal of a point the element that is nearest to it, away from those of its other goals."""
        units, used, found = _units(asked), dict[tuple[int, ...], Bools](), list[int]()
        for goal in asked[row]:
            heights = maps[goal.value][row, units[goal.value].index(goal.unit)]
            place = spread(goal.sign * heights, used.setdefault(heights.shape, np.zeros(heights.shape, np.bool_)))
            watched = self._watched[goal.value]
            index = (*place[: watched.axis], goal.unit, *place[watched.axis :])
            found.append(int(np.ravel_multi_index(index, watched.lengths)))
        return found

    def _step(
        self,
        points: Points,
        boxes: Sequence[Mapping[str, Box]],
        moving: Sequence[int],
        gradients: Points,
        far: float,
    ) -> None:
        """Move some of the points by this share of the width of the domain, up."""
        for row, point in enumerate(moving):
            for name in self.reached:
                bounds = boxes[point][name]
                wide = np.result_type(bounds.low, np.float32)
                with np.errstate(over="ignore"):
                    width = np.nan_to_num(bounds.high.astype(wide) - bounds.low)
                    moved = points[name][point] + far * width * np.sign(np.nan_to_num(gradients[name][row]))
                points[name][point] = np.clip(moved, bounds.low, bounds.high)

    def _run(
        self, points: Points, goals: Sequence[Sequence[Goal]], places: Sequence[Sequence[int]], slope: float
    ) -> _Shown:
        """All extremes, and gradients of the sums of goals at these places; without places there are none."""
        units, count, parts = _units(goals), count_of(points), list[Mapping[str, Array]]()
        for start in range(0, count, self._feeding.together):
            rows = slice(start, min(start + self._feeding.together, count))
            feeds = dict(self._feeding.feed(taken(points, rows), alone=not self._batched))
            feeds[self._slope] = np.array([slope], np.float32)
            for name, watched in self._watched.items():
                feeds[watched.units] = np.array(units.get(name, []), np.int64)
                feeds[watched.pick] = self._picked(name, goals[rows], places[rows])
            results = self._session.run(feeds)
            parts.append(results if self._batched else {n: array[np.newaxis] for n, array in results.items()})
            for name, watched in self._watched.items():
                feeds[watched.pick].fill(0) if name in units else None
        shown = joined(parts)
        sides = [
            {n: shown[w.extremes[sign]].reshape(count, -1) for n, w in self._watched.items() if sign in w.extremes}
            for sign in (1, -1)
        ]
        gradients = {
            name: shown[output].reshape(points[name].shape)
            for name, output in zip(self.reached, self._outputs, strict=True)
        }
        maps = {name: np.moveaxis(shown[w.maps], 1 + w.axis, 1) for name, w in self._watched.items()}
        return _Shown(Seen(*sides), gradients, maps)

    def _picked(self, value: str, goals: Sequence[Sequence[Goal]], places: Sequence[Sequence[int]]) -> Array:
        """Factors of the elements of a value: those of the goals at their places."""
        watched, key = self._watched[value], (value, len(goals))
        if key not in self._blank:
            lengths = (len(goals), *watched.lengths) if self._batched else watched.lengths
            self._blank[key] = np.zeros(lengths, watched.dtype)
        rows = self._blank[key].reshape(len(goals), -1)
        for row, (some, where) in enumerate(zip(goals, places, strict=True)):
            for goal, place in zip(some, where, strict=False):  # no places yet: nothing is picked
                if goal.value == value:
                    rows[row, place] = goal.sign * goal.weight
        return self._blank[key]

    def _watch(self, editor: Editor, value: str, aims: Sequence[Aim]) -> _Watched:
        """Append what shows a value and lets its elements be picked."""
        lengths, ahead = self._feeding.shapes.shapes[value], int(self._batched)
        dtype, axis = self._feeding.shapes.dtypes.get(value, "float32"), aims[0].axis
        own = lengths[ahead:]
        positions = [a for a in range(ahead, len(lengths)) if a != axis]
        units = editor.input("units", "int64", [None])
        extremes = {}
        for sign in {aim.sign for aim in aims}:
            kind = "ReduceMax" if sign > 0 else "ReduceMin"
            extremes[sign] = reduce_axes(editor, kind, value, positions) if positions else editor.again(value)
        pick = editor.input("pick", dtype, [None, *own] if self._batched else own)
        maps = editor.add("Gather", [value, units], axis=axis)
        return _Watched(tuple(own), axis - ahead, dtype, pick, units, maps, extremes)

    def _append(
        self, editor: Editor, context: Context, aims: Mapping[str, Sequence[Aim]], inputs: Sequence[str]
    ) -> dict[str, str]:
        """Append what shows values and carries their gradients back; by input the name of its gradient."""
        if self._feeding.plan.free_inputs:
            editor.free_batch(self._feeding.plan.free_inputs)
        editor.fix_stored()
        editor.clear_outputs()
        self._slope = editor.input("slope", "float32", [1])
        self._watched = {value: self._watch(editor, value, some) for value, some in aims.items()}
        tape = Tape(editor, self._slope, self._batched)
        return self._gradients(context, tape, {value: w.pick for value, w in self._watched.items()}, inputs)

    def _gradients(
        self, context: Context, tape: Tape, picks: Mapping[str, str], inputs: Sequence[str]
    ) -> dict[str, str]:
        """By input the name of its gradient; values whose gradient reaches no input are `blocked`."""
        graph, reach = context.graph, set(inputs)
        for node in graph.nodes:
            if node.role is Role.PLAIN and not node.place and reach & set(node.inputs):
                reach.update(o for o in node.outputs if o and self._is_float(o))
        gradients, sources = dict(picks), {value: {value} for value in picks}
        stopped: dict[str, set[str]] = {value: set() for value in picks}
        for call in reversed(context.calls):
            node = call.op.node
            for output, made in enumerate(node.outputs):
                if made not in gradients or made in inputs:
                    continue
                gradient = gradients[made]
                for position, name in enumerate(node.inputs):
                    if name not in reach:
                        continue
                    known = call.barrier is None and node.role is Role.PLAIN
                    back = call.rule.pull_back(call.op, position, tape, gradient, output) if known else None
                    if back is None:
                        for value in sources[made]:
                            stopped[value].add(node.op_type)
                    else:
                        gradients[name] = tape.both(gradients[name], back) if name in gradients else back
                        sources.setdefault(name, set()).update(sources[made])
        climbed = set[str]().union(*(sources.get(name, ()) for name in inputs))
        self.blocked.update({value: reasons for value, reasons in stopped.items() if value not in climbed})
        return {name: gradients[name] for name in inputs if name in gradients}

    def _fits(self, aim: Aim) -> bool:
        """Whether units and samples of a value can be told from one another."""
        shapes = self._feeding.shapes
        return self._is_float(aim.value) and (
            not self._batched or (shapes.sample_axes.get(aim.value) == SampleAxis(0) and aim.axis > 0)
        )

    def _is_float(self, name: str) -> bool:
        return np.dtype(self._feeding.shapes.dtypes.get(name, "float32")).kind == "f"


def spread(heights: Array, used: Bools) -> tuple[int, ...]:
    """The largest of a map where room is left; its surroundings are used from then on."""
    finite = np.nan_to_num(heights.astype(np.float64), nan=-np.inf)
    place = np.unravel_index(np.argmax(np.where(used, -np.inf, finite) if not used.all() else finite), heights.shape)
    reach = [length // SPREAD for length in heights.shape]
    used[tuple(slice(max(m - r, 0), m + r + 1) for m, r in zip(place, reach, strict=True))] = True
    return tuple(int(p) for p in place)


def _reached(goal: Goal, seen: Seen, row: int) -> bool:
    extremes = seen.largest if goal.sign > 0 else seen.smallest
    return bool(goal.sign * float(extremes[goal.value][row, goal.unit]) > goal.limit)


def _units(goals: Iterable[Iterable[Goal]]) -> dict[str, list[int]]:
    """By value the units that goals are about."""
    found: dict[str, dict[int, None]] = {}
    for some in goals:
        for goal in some:
            found.setdefault(goal.value, {})[goal.unit] = None
    return {value: [*units] for value, units in found.items()}
