"""Steps towards where a unit moves, by gradients that go through what is flat as if it sloped a little.

Behind units that are dead no gradient is left; a flat activation that pretends to have a slope, less of it step by
step, lets one through. That is decisive behind dead layers, and it needs to be no more than a hint: what is found so is
run through the model itself before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box
from analyzer.facts.units import SampleAxis
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.subgraphs import Role
from analyzer.ops.context import Context
from analyzer.ops.pull_back import Tape
from analyzer.runtime.session import Session
from analyzer.witness.claims import Aim
from analyzer.witness.points import Points, count_of, joined, kept_within, taken
from analyzer.witness.sight import Feeding

STEPS = 25
SPREAD = 8  # the share of a map by which targets on one point keep away from one another
WIDEST, NARROWEST = 0.5, 0.02  # a step, as a share of the width of the domain: the first one and the least


@dataclass(frozen=True)
class Target:
    """Where a point is to go: an element of a value, counted through one sample, (`sign` -1: its negative) exceeds
    a limit.
    """

    place: int
    sign: int
    limit: float


class Ascent:
    """A model with its gradient: of one value, with respect to the inputs that vary and hold floats.

    `reached` are these inputs; none where an operator on every way has no gradient here: `blocked` says which ones.
    """

    def __init__(
        self, loaded: LoadedModel, context: Context, aim: Aim, feeding: Feeding, *, threads: int | None
    ) -> None:
        self._feeding, shapes = feeding, feeding.shapes
        self._dtype = np.dtype(shapes.dtypes.get(aim.value, "float32"))
        self.blocked = set[str]()
        self.reached: tuple[str, ...] = ()
        floats = [n for n in sorted(feeding.varying) if np.dtype(shapes.dtypes.get(n, "float32")).kind == "f"]
        fits = shapes.sample_axes.get(aim.value) == SampleAxis(0) or feeding.together == 1
        if not floats or not fits or self._dtype.kind != "f" or aim.value in loaded.graph.inside:
            return
        editor = Editor(loaded.copy())
        if feeding.plan.free_inputs:
            editor.free_batch(feeding.plan.free_inputs)
        editor.clear_outputs()
        batched, lengths = feeding.together > 1, shapes.shapes[aim.value]
        self._lengths = lengths[1:] if batched else lengths
        self._slope = editor.input("slope", "float32", [1])
        self._pick = editor.input("pick", self._dtype.name, [None, *self._lengths] if batched else self._lengths)
        found = self._gradients(context, Tape(editor, self._slope, batched), aim.value, self._pick, floats)
        if not found:
            return
        self.reached, self._outputs = tuple(found), [*found.values()]
        self._value = aim.value
        editor.output(aim.value, *self._outputs)
        editor.finish()
        self._session = Session(editor.loaded, threads=threads)

    def close(self) -> None:
        """Free the session."""
        if self.reached:
            self._session.close()

    def values(self, points: Points) -> Array:
        """What the value is for points, [points, elements]."""
        return self._run(points, [()] * count_of(points), 0.0)[0]

    def climb(
        self,
        points: Points,
        boxes: Sequence[Mapping[str, Box]],
        targets: Sequence[Sequence[Target]],
        slope: float,
        goes_on: Callable[[], bool],
    ) -> Points:
        """What points come to in a few steps, each within its box and towards all its targets together.

        Given back are points as they reach one target or more, and of those that reach none the best that they came by.
        It ends early where it no longer `goes_on`.

        Raises:
            RunError: the model does not run on some.
        """
        current = {name: array.copy() for name, array in points.items()}
        best, heights = {n: a.copy() for n, a in points.items()}, np.full(len(targets), -np.inf)
        left, reached = [[*some] for some in targets], list[Points]()
        for step in range(STEPS + 1):
            moving = [point for point, some in enumerate(left) if some]
            if not moving or (step and not goes_on()):
                break
            now = slope * (1 - step / STEPS)
            values, gradients = self._run(taken(current, np.array(moving)), [left[point] for point in moving], now)
            for row, point in enumerate(moving):
                gaps = [t.sign * float(values[row, t.place]) - t.limit for t in left[point]]
                if max(gaps) > 0:
                    reached.append(taken(current, slice(point, point + 1)))
                    left[point] = [t for t, gap in zip(left[point], gaps, strict=True) if not gap > 0]
                elif np.mean(gaps) > heights[point]:
                    heights[point] = np.mean(gaps)
                    for name in self.reached:
                        best[name][point] = current[name][point]
            if step < STEPS:
                self._step(current, boxes, moving, gradients, max(WIDEST * (1 - step / STEPS), NARROWEST))
        missed = [point for point, (some, rest) in enumerate(zip(targets, left, strict=True)) if len(some) == len(rest)]
        return joined([*reached, taken(best, np.array(missed, np.int64))])

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
                width = bounds.high.astype(np.float64) - bounds.low
                moved = points[name][point] + far * width * np.sign(np.nan_to_num(gradients[name][row]))
                points[name][point] = kept_within(moved, bounds)

    def _run(self, points: Points, targets: Sequence[Sequence[Target]], slope: float) -> tuple[Array, Points]:
        """The value, [points, elements], and by input the gradients of the sums of targets."""
        count, together = count_of(points), self._feeding.together
        values, parts = list[Array](), list[Points]()
        for start in range(0, count, together):
            piece = taken(points, slice(start, start + together))
            picks = np.zeros((count_of(piece), prod(self._lengths)), self._dtype)
            for row, some in enumerate(targets[start : start + together]):
                for target in some:
                    picks[row, target.place] = target.sign
            feeds = dict(self._feeding.feed(piece, alone=together == 1))
            feeds[self._pick] = picks.reshape(-1, *self._lengths) if together > 1 else picks.reshape(self._lengths)
            feeds[self._slope] = np.array([slope], np.float32)
            results = self._session.run(feeds)
            values.append(results[self._value].reshape(len(picks), -1))
            shapes = {name: piece[name].shape for name in self.reached}
            parts.append({n: results[o].reshape(shapes[n]) for n, o in zip(self.reached, self._outputs, strict=True)})
        return np.concatenate(values), joined(parts)

    def _gradients(self, context: Context, tape: Tape, value: str, seed: str, inputs: Sequence[str]) -> dict[str, str]:
        """By input the name of its gradient."""
        graph, reach = context.graph, set(inputs)
        for node in graph.nodes:
            if node.role is Role.PLAIN and not node.place and reach & set(node.inputs):
                reach.update(o for o in node.outputs if o and self._is_float(o))
        gradients = {value: seed}
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
                        self.blocked.add(node.op_type)
                    else:
                        gradients[name] = tape.both(gradients[name], back) if name in gradients else back
        return {name: gradients[name] for name in inputs if name in gradients}

    def _is_float(self, name: str) -> bool:
        return np.dtype(self._feeding.shapes.dtypes.get(name, "float32")).kind == "f"


def spread(values: Array, lengths: Sequence[int], aims: Sequence[tuple[int, Aim]]) -> list[Target]:
    """For each unit the element that is nearest to where it is to go, away from those of the units before.

    `values` are one sample's elements of a value of these lengths.
    """
    found, numbers = list[Target](), np.arange(prod(lengths)).reshape(lengths)
    used = np.zeros(np.delete(np.array(lengths), aims[0][1].axis), np.bool_)
    for unit, aim in aims:
        own = np.take(numbers, unit, aim.axis)
        heights = aim.sign * np.nan_to_num(values[own].astype(np.float64), nan=-np.inf)
        best = int(np.argmax(np.where(used, -np.inf, heights) if not used.all() else heights))
        found.append(Target(int(own.reshape(-1)[best]), aim.sign, aim.limit))
        middle, reach = np.unravel_index(best, used.shape), [length // SPREAD for length in used.shape]
        used[tuple(slice(max(m - r, 0), m + r + 1) for m, r in zip(middle, reach, strict=True))] = True
    return found
