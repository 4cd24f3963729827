"""Steps towards where a unit moves, by gradients that go through what is flat as if it sloped a little.

Behind units that are dead no gradient is left; a flat activation that pretends to have a slope, less of it step by
step, lets one through. That is decisive behind dead layers, and it needs to be no more than a hint: what is found so is
run through the model itself before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box
from analyzer.facts.statistics import Ints
from analyzer.facts.units import SampleAxis
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.subgraphs import Role
from analyzer.ops.context import Context
from analyzer.ops.pull_back import Tape, seed_of_largest
from analyzer.runtime.session import Session
from analyzer.witness.claims import Aim
from analyzer.witness.points import Points, count_of, kept_within, taken
from analyzer.witness.sight import Feeding

STEPS = 25
WIDEST, NARROWEST = 0.5, 0.02  # a step, as a share of the width of the domain: the first one and the least


@dataclass(frozen=True)
class Target:
    """Where a point is to go: the largest number of a unit of a value, or (`sign` -1) that of its negative."""

    unit: int
    sign: int
    limit: float


class Ascent:
    """A model with its gradient: of one value, with respect to the inputs that vary and hold floats.

    `reached` are these inputs; none where an operator on every way has no gradient here: `blocked` says which ones.
    """

    def __init__(
        self, loaded: LoadedModel, context: Context, aim: Aim, feeding: Feeding, *, threads: int | None
    ) -> None:
        self._feeding, self._axis = feeding, aim.axis
        shapes = feeding.shapes
        self._rank, self._units = len(shapes.shapes[aim.value]), shapes.shapes[aim.value][aim.axis]
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
        batched = feeding.together > 1
        first: list[int | None] = [None if batched else 1]
        self._slope = editor.input("slope", "float32", [1])
        pick = [*first, *[self._units if a == aim.axis else 1 for a in range(1, self._rank)]]
        if aim.axis == 0:
            pick = [self._units, *[1] * (self._rank - 1)]
        self._pick = editor.input("pick", self._dtype.name, pick)
        tape = Tape(editor, self._slope, batched)
        positions = [axis for axis in range(self._rank) if axis or not batched]
        best, seed = seed_of_largest(tape, aim.value, self._pick, positions, self._dtype.name)
        found = self._gradients(context, tape, aim.value, seed, floats)
        if not found:
            return
        self.reached, self._outputs = tuple(found), [*found.values()]
        self._best = best
        editor.output(best, *self._outputs)
        editor.finish()
        self._session = Session(editor.loaded, threads=threads)

    def close(self) -> None:
        """Free the session."""
        if self.reached:
            self._session.close()

    def climb(
        self,
        points: Points,
        boxes: Sequence[Mapping[str, Box]],
        targets: Sequence[Target],
        slope: float,
        goes_on: Callable[[], bool],
    ) -> Points:
        """Where the points come to in a few steps, each within its box: the best that each came by.

        It ends early where it no longer `goes_on`.

        Raises:
            RunError: the model does not run on some.
        """
        current = {name: array.copy() for name, array in points.items()}
        best, heights = dict(current), np.full(len(targets), -np.inf)
        for step in range(STEPS + 1):
            moving = np.flatnonzero(~(heights > 0))
            if not len(moving) or (step and not goes_on()):
                break
            now = slope * (1 - step / STEPS)
            height, gradients = self._run(taken(current, moving), [targets[int(i)] for i in moving], now)
            higher = moving[height > heights[moving]]
            heights[moving] = np.fmax(height, heights[moving])
            for name, array in current.items():
                best[name] = best[name].copy() if step == 0 else best[name]
                best[name][higher] = array[higher]
            if step < STEPS:
                far = max(WIDEST * (1 - step / STEPS), NARROWEST)
                for place, point in enumerate(moving):
                    for name in self.reached:
                        bounds = boxes[int(point)][name]
                        width = bounds.high.astype(np.float64) - bounds.low
                        moved = current[name][point] + far * width * np.sign(np.nan_to_num(gradients[name][place]))
                        current[name][point] = kept_within(moved, bounds)
        return best

    def _run(self, points: Points, targets: Sequence[Target], slope: float) -> tuple[Array, dict[str, Array]]:
        """How far above its limit each point is, and the gradients."""
        count, together = count_of(points), self._feeding.together
        heights, parts = list[Array](), list[dict[str, Array]]()
        for start in range(0, count, together):
            piece = taken(points, slice(start, start + together))
            feeds = dict(self._feeding.feed(piece, alone=together == 1))
            some = targets[start : start + together]
            feeds[self._pick] = self._picks(some)
            feeds[self._slope] = np.array([slope], np.float32)
            results = self._session.run(feeds)
            heights.append(results[self._best].reshape(-1).astype(np.float64) - [t.limit for t in some])
            shapes = {name: piece[name].shape for name in self.reached}
            parts.append({n: results[o].reshape(shapes[n]) for n, o in zip(self.reached, self._outputs, strict=True)})
        return np.concatenate(heights), {n: np.concatenate([part[n] for part in parts]) for n in self.reached}

    def _picks(self, targets: Sequence[Target]) -> Array:
        units: Ints = np.array([t.unit for t in targets])
        rows = np.zeros((len(targets), self._units), self._dtype)
        rows[np.arange(len(targets)), units] = [t.sign for t in targets]
        if self._axis == 0:
            return rows.reshape(-1, *[1] * (self._rank - 1))
        return rows.reshape(len(targets), *[self._units if a == self._axis else 1 for a in range(1, self._rank)])

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
