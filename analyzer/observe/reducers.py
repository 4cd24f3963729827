"""Nodes that reduce an audited value to one number per sample and unit, in the forms that onnxruntime is fast at."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from analyzer.graph import Editor
from analyzer.graph.reductions import reduce_axes
from analyzer.observe.statistics.maximum import Maximum
from analyzer.observe.statistics.minimum import Minimum
from analyzer.observe.statistics.positions import Magnitude
from analyzer.observe.statistics.statistic import Statistic
from analyzer.observe.targets import Target

# onnxruntime takes extremes along a middle axis column by column; over few rows at a time that is 2 to 4 times as fast.
STEPS = range(7, 33)
BEST_STEP = 16
LONG = 1 << 14  # elements of a sample from which two steps are faster than one


class Reducers:
    """Appends reducers to a model.

    `samples` names an input of the extended model, shape [1], that tells how many samples a feed holds; None while
    nothing needs it. `stepped` tells whether some value is reduced in two steps.
    """

    def __init__(self, editor: Editor, *, steps: bool) -> None:
        self._editor = editor
        self._steps = steps
        self._made: dict[tuple[str, Hashable], str] = {}
        self.samples: str | None = None
        self.stepped = False

    def pooled(self, target: Target, statistic: type[Statistic]) -> str:
        """[rows, units, 1, …] by a global pooling operator, for a target that has a `pooled_rank`."""
        assert statistic.pool is not None
        name, reduction = self._widened(target, statistic), statistic.reduction
        if statistic is Maximum and target.behind is not None and target.dtype == "float32":
            name = target.behind
        if statistic is Minimum:
            name, reduction = self._picked_negated(target, name), Maximum.reduction
        name = self._editor.add(statistic.pool, [name])
        if target.sample.axis is None:
            # One sample may have any number of rows here, and another number in the next feed.
            return reduce_axes(self._editor, reduction, name, [0], keep=True)
        return name

    def reduced(self, target: Target, statistic: type[Statistic]) -> str:
        """[rows, units] for any layout: positions away, samples in front, rows of one sample joined."""
        name = statistic.elements(self._editor, self._widened(target, statistic, picked=True), target.dtype)
        audited, sample = target.audited, target.sample
        step = self._step(target, statistic)
        if step and not target.folded:
            self.stepped = True
            shape = self._constant(np.array([0, -1, step, target.width], np.int64))
            return self._down(statistic, self._editor.add("Reshape", [name, shape]), [2, 1])
        if target.positions:
            name = reduce_axes(self._editor, statistic.reduction, name, target.positions)
        if sample.axis == audited.axis:
            return self._editor.add("Reshape", [name, self._constant(np.array([-1, 1]))])
        if sample.axis is not None and sample.axis > audited.axis:
            name = self._editor.add("Transpose", [name], perm=[1, 0])
        if sample.axis is None:
            return self._editor.add("Reshape", [name, self._constant(np.array([1, target.width]))])
        if target.folded:
            self.stepped = self.stepped or step is not None
            places = [-1] if step is None else [-1, step]
            rest = self._constant(np.array([*places, target.width], np.int64))
            shape = self._editor.add("Concat", [self._number_of_samples(), rest], axis=0)
            return self._down(statistic, self._editor.add("Reshape", [name, shape]), [*range(len(places), 0, -1)])
        return name

    def sizes(self, targets: Sequence[Target]) -> str:
        """One value [targets] with the number of elements of each."""

        def counted() -> Iterator[str]:
            for target in targets:
                self._made.clear()  # a cast that is used again here would have to be kept until the end
                # Size has kernels for fewer types than Cast
                yield self._editor.add("Size", [self._widened(target, Magnitude)])

        return self._side_by_side(counted())

    def extremes(self, names: Sequence[str]) -> str:
        """One value [2 * names]: of each the largest entry, then the smallest, in single precision."""
        wide = (self._editor.cast(name, "float32") for name in names)
        both = (Maximum.reduction, Minimum.reduction)
        return self._side_by_side(self._editor.add(kind, [name], keepdims=0) for name in wide for kind in both)

    def _side_by_side(self, numbers: Iterable[str]) -> str:
        """Nodes are added in the order in which they are best run: each number right behind its value."""
        one = self._constant(np.array([1]))
        return self._editor.add("Concat", [self._editor.add("Reshape", [name, one]) for name in numbers], axis=0)

    def _down(self, statistic: type[Statistic], name: str, axes: Sequence[int]) -> str:
        for axis in axes:
            name = reduce_axes(self._editor, statistic.reduction, name, [axis])
        return name

    def _step(self, target: Target, statistic: type[Statistic]) -> int | None:
        """How many rows of positions the first of two steps joins; None where one step does."""
        audited, sample = target.audited, target.sample
        fits = statistic.in_steps and audited.axis == audited.rank - 1 and sample.axis == 0
        if target.folded:
            fits = fits and not target.positions
        if not (self._steps and fits) or target.places * target.width < LONG:
            return None
        return min((s for s in STEPS if target.places % s == 0), key=lambda s: abs(s - BEST_STEP), default=None)

    def _number_of_samples(self) -> str:
        if self.samples is None:
            self.samples = self._editor.input("samples", "int64", [1])
        return self.samples

    def _constant(self, array: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
        return self._editor.constant(array)

    def _picked_negated(self, target: Target, name: str) -> str:
        """All or a few chosen channels with the other sign, by a convolution: their maximum is the minimum negated.

        Exact, since everything else is multiplied by zero; and it stays in the layout of the convolutions around it.
        """
        units, window = target.audited.units, [1] * (target.audited.rank - 2)
        if target.chosen is None:
            kernel = np.full((units, 1, *window), -1, np.float32)
            return self._editor.add("Conv", [name, self._editor.constant(kernel)], group=units)
        kernel = np.zeros((target.width, units, *window), np.float32)
        kernel[np.arange(target.width), target.chosen] = -1
        return self._editor.add("Conv", [name, self._editor.constant(kernel)])

    def _widened(self, target: Target, statistic: type[Statistic], *, picked: bool = False) -> str:
        """The value, or the `picked` part of it, in the type that the statistic is computed in; made once for all."""
        name, wanted = target.audited.value, statistic.element_type(target.dtype)
        chosen = target.chosen if picked else None
        if chosen is not None:
            key = (name, chosen)
            if key not in self._made:  # a constant that nothing reads keeps models of old IR versions from loading
                picks = self._constant(np.array(chosen, np.int64))
                self._made[key] = self._editor.add("Gather", [name, picks], axis=target.audited.axis)
            name = self._made[key]
        if target.dtype == wanted:
            return name
        if (name, wanted) not in self._made:
            self._made[name, wanted] = self._editor.cast(name, wanted)
        return self._made[name, wanted]


def pooled_rank(target: Target, statistic: type[Statistic]) -> int | None:
    """Rank of the value when a global pooling operator reduces it: [N, C, positions...], one row per sample."""
    audited, sample = target.audited, target.sample
    fits = sample.axis in (0, None) and not target.folded and audited.axis == 1 and audited.rank in (3, 4, 5)
    whole = target.chosen is None or statistic is Minimum
    poolable = statistic.pool is not None and statistic.element_type(target.dtype) == "float32"
    return audited.rank if fits and whole and poolable else None
