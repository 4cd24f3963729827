"""Nodes that reduce an audited value to one number per sample and unit, in the forms that onnxruntime is fast at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from analyzer.graph import Extension
from analyzer.observe.targets import EXTREMES, WIDE, Statistic, Target

TYPES = {"float32": int(onnx.TensorProto.FLOAT), "float64": int(onnx.TensorProto.DOUBLE)}
# Opset from which a reduction takes its axes as an input.
AXES_AS_INPUT = {"ReduceMax": 18, "ReduceMin": 18, "ReduceMean": 18, "ReduceSum": 13}
POOLS = {Statistic.MAXIMUM: "GlobalMaxPool", Statistic.MEAN: "GlobalAveragePool"}
# onnxruntime takes extremes along a middle axis column by column; over few rows at a time that is 2 to 4 times as fast.
STEPS = range(7, 33)
BEST_STEP = 16
LONG = 1 << 14  # elements of a sample from which two steps are faster than one


class Reducers:
    """Appends reducers to a model.

    `samples` names an input of the extended model, shape [1], that tells how many samples a feed holds; None while
    nothing needs it. `stepped` tells whether some value is reduced in two steps.
    """

    def __init__(self, extension: Extension, *, steps: bool) -> None:
        self._extension = extension
        self._steps = steps
        self._casts: dict[tuple[str, str], str] = {}
        self.samples: str | None = None
        self.stepped = False

    def pooled(self, target: Target, statistic: Statistic) -> str:
        """[rows, units, 1, …] by a global pooling operator, for a target that has a `pooled_rank`."""
        through = statistic is Statistic.MAXIMUM and target.behind is not None and target.dtype == "float32"
        name = str(target.behind) if through else self._widened(target, statistic)
        if statistic is Statistic.MINIMUM:
            name, statistic = self._picked_negated(target, name), Statistic.MAXIMUM
        name = self._extension.add(POOLS[statistic], [name])
        if target.sample.axis is None:
            # One sample may have any number of rows here, and another number in the next feed.
            return reduce_axes(self._extension, statistic.reduction, name, [0], keep=True)
        return name

    def reduced(self, target: Target, statistic: Statistic) -> str:
        """[rows, units] for any layout: positions away, samples in front, rows of one sample joined."""
        name = self._prepared(statistic, target, self._widened(target, statistic))
        if target.chosen is not None:
            picks = self._constant(np.array(target.chosen, np.int64))
            name = self._extension.add("Gather", [name, picks], axis=target.audited.axis)
        audited, sample = target.audited, target.sample
        step = self._step(target, statistic)
        if step and not target.folded:
            self.stepped = True
            shape = self._constant(np.array([0, -1, step, target.width], np.int64))
            return self._down(statistic, self._extension.add("Reshape", [name, shape]), [2, 1])
        if target.positions:
            name = reduce_axes(self._extension, statistic.reduction, name, target.positions)
        if sample.axis == audited.axis:
            return self._extension.add("Reshape", [name, self._constant(np.array([-1, 1]))])
        if sample.axis is not None and sample.axis > audited.axis:
            name = self._extension.add("Transpose", [name], perm=[1, 0])
        if sample.axis is None:
            return self._extension.add("Reshape", [name, self._constant(np.array([1, target.width]))])
        if target.folded:
            self.stepped = self.stepped or step is not None
            places = [-1] if step is None else [-1, step]
            rest = self._constant(np.array([*places, target.width], np.int64))
            shape = self._extension.add("Concat", [self._number_of_samples(), rest], axis=0)
            return self._down(statistic, self._extension.add("Reshape", [name, shape]), [*range(len(places), 0, -1)])
        return name

    def sizes(self, targets: Sequence[Target]) -> str:
        """One value [targets] with the number of elements of each."""
        one = self._constant(np.array([1]))
        names = []
        for target in targets:
            self._casts.clear()  # a cast that is used again here would have to be kept until the end
            size = self._extension.add(
                "Size", [self._widened(target, Statistic.ABSOLUTE)]
            )  # has kernels for fewer types than Cast
            names.append(self._extension.add("Reshape", [size, one]))
        return self._extension.add("Concat", names, axis=0)

    def _down(self, statistic: Statistic, name: str, axes: Sequence[int]) -> str:
        for axis in axes:
            name = reduce_axes(self._extension, statistic.reduction, name, [axis])
        return name

    def _step(self, target: Target, statistic: Statistic) -> int | None:
        """How many rows of positions the first of two steps joins; None where one step does."""
        audited, sample = target.audited, target.sample
        fits = statistic in EXTREMES and audited.axis == audited.rank - 1 and sample.axis == 0
        if target.folded:
            fits = fits and not target.positions
        if not (self._steps and fits) or target.places * target.width < LONG:
            return None
        return min((s for s in STEPS if target.places % s == 0), key=lambda s: abs(s - BEST_STEP), default=None)

    def _number_of_samples(self) -> str:
        if self.samples is None:
            self.samples = self._extension.input("samples", onnx.TensorProto.INT64, [1])
        return self.samples

    def _constant(self, array: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
        return self._extension.constant(array)

    def _picked_negated(self, target: Target, name: str) -> str:
        """All or a few chosen channels with the other sign, by a convolution: their maximum is the minimum negated.

        Exact, since everything else is multiplied by zero; and it stays in the layout of the convolutions around it.
        """
        units, window = target.audited.units, [1] * (target.audited.rank - 2)
        if target.chosen is None:
            kernel = np.full((units, 1, *window), -1, np.float32)
            return self._extension.add("Conv", [name, self._extension.constant(kernel)], group=units)
        kernel = np.zeros((target.width, units, *window), np.float32)
        kernel[np.arange(target.width), target.chosen] = -1
        return self._extension.add("Conv", [name, self._extension.constant(kernel)])

    def _prepared(self, statistic: Statistic, target: Target, name: str) -> str:
        """The elements that the statistic joins."""
        match statistic:
            case Statistic.DEFECT:
                return self._extension.add("Sub", [name, name])
            case Statistic.ABSOLUTE:
                return self._extension.add("Abs", [name])
            case Statistic.NONZERO:
                # A cast to bool tests against zero in every opset and type; Equal does not take floats before 11.
                marked = self._extension.add("Cast", [name], to=int(onnx.TensorProto.BOOL))
                return self._extension.add("Cast", [marked], to=TYPES[target.element_type(statistic)])
        return name

    def _widened(self, target: Target, statistic: Statistic) -> str:
        """The value in the type that the statistic is computed in; one cast for all statistics of a type."""
        name, wanted = target.audited.value, target.element_type(statistic)
        if target.dtype == wanted:
            return name
        if (name, wanted) not in self._casts:
            self._casts[name, wanted] = self._extension.add("Cast", [name], to=TYPES[wanted])
        return self._casts[name, wanted]


def pooled_rank(target: Target, statistic: Statistic) -> int | None:
    """Rank of the value when a global pooling operator reduces it: [N, C, positions...], one row per sample."""
    audited, sample = target.audited, target.sample
    fits = sample.axis in (0, None) and not target.folded and audited.axis == 1 and audited.rank in (3, 4, 5)
    poolable = statistic in POOLS or statistic is Statistic.MINIMUM
    return audited.rank if fits and poolable and target.dtype not in WIDE else None


def reduce_axes(extension: Extension, op_type: str, name: str, axes: Sequence[int], *, keep: bool = False) -> str:
    """Append a reduction over these axes in the form that the model's opset wants; `keep` leaves them as length 1."""
    if extension.opset >= AXES_AS_INPUT[op_type]:
        return extension.add(op_type, [name, extension.constant(np.array(axes, np.int64))], keepdims=int(keep))
    return extension.add(op_type, [name], axes=list(axes), keepdims=int(keep))
