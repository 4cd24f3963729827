"""Normalisations.

BatchNormalization is an affine map per channel (axis 1). InstanceNormalization normalises each channel by itself.
LayerNormalization, LRN and LpNormalization mix the normalised axes: taking an element away would change the statistics
of the others, so those axes stay whole. GroupNormalization does so per group of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.affine import Affine, Normalisation, Summand
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored, most
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import CONTRIB, Operator, register
from analyzer.ops.traits import CONTINUOUS, SINGLE_OR_DOUBLE
from analyzer.ops.trend import SLACK, UNIT, Ends, Trend


class PerChannel(Operator):
    """Operators that treat every channel (axis 1) alone, with parameters [channels]."""

    axes = Axes("X: n c *s, scale: c, B: c, mean: c, var: c -> Y: n c *s", made="c")
    stated = replace(CONTINUOUS, carries_nan=(0,), carries_infinity=(0,))

    def unsupported(self, node: OpNode) -> str | None:
        parameters = [node.static(p) for p in range(1, len(node.inputs))]
        if any(p is None for p in parameters):
            return "parameters computed at run time"
        one_each = node.x_shape()[1:2]
        return None if all(p is not None and p.shape == one_each for p in parameters) else "parameters per position"

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked = ys[0] & ~self.constants(node, xs)[0].known  # what follows from the inputs computes itself
        own = pattern.per_index(ys[0], 1, node.y_shape()[1], every=False)
        return [asked, *(own for _ in xs[1:])]

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return Normalisation(1, 2, alone=True)


def _trains(node: Node) -> bool:
    """Whether a BatchNormalization takes statistics of the batch: before opset 14 its further outputs ask for that."""
    return any(node.outputs[1:]) or bool(node.attr("training_mode", 0))


class BatchNorm(PerChannel):
    """Y = scale * (X - mean) / sqrt(var + epsilon) + B; constant where X is, or where scale is 0."""

    def unsupported(self, node: OpNode) -> str | None:
        if _trains(node.node):
            return "BatchNormalization in training mode"
        if len(node.x_shape()) < 2:
            return "BatchNormalization without a channel axis"
        return super().unsupported(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = xs[0].rank
        scale, bias, mean, var = (pattern.on_axis(np.ravel(x.number), 1, rank) for x in xs[1:5])
        slope = scale / np.sqrt(var + float(node.attr("epsilon", 1e-5)))
        known = xs[0].known | (slope == 0)
        value = np.where(xs[0].known, slope * (xs[0].number - mean) + bias, bias)
        return [Constants(known, np.where(known, value, 0.0))]

    def affine(self, node: OpNode) -> Affine | None:
        stored = [np.ravel(np.asarray(node.static(p), np.float64)) for p in (1, 2, 3, 4)]
        if (stored[3] < 0).any():  # beside epsilon it may leave a last digit of what single precision has
            return None
        scale, bias, mean, var = (pattern.on_axis(array, 1, len(node.y_shape())) for array in stored)
        with np.errstate(all="ignore"):
            slope = scale / np.sqrt(var + float(node.attr("epsilon", 1e-5)))
            shift = bias - slope * mean
        summed = np.abs(bias) + np.abs(slope * mean)
        return Affine({0: slope}, shift, summed=summed) if np.isfinite(slope).all() else None

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return Normalisation(1, 2, alone=True, variance=4)

    def summand(self, node: OpNode, position: int) -> Summand | None:
        return Summand(3, sign=-1, per_unit=True) if position == 0 else None

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        scale, offset, mean, variance = (stored(place) for place in range(1, 5))
        if scale is None or offset is None or mean is None or variance is None or _trains(node) or xs[0] is None:
            return None
        spread = variance.astype(np.float32) + np.float32(node.attr("epsilon", 1e-5))
        if not spread.min(initial=1.0) > 0:  # in single precision, as it is computed
            return None
        with np.errstate(invalid="ignore"):  # both may be infinite
            factor = np.maximum(1.0, np.abs(scale) / np.sqrt(spread.astype(np.float64)))
        return most(factor * (max(1.0, xs[0]) + np.abs(mean)) + np.abs(offset)) if scale.size else 0.0


class InstanceNorm(PerChannel):
    """Normalised over its own positions: a constant channel comes out as B, whatever its value."""

    axes = Axes("X: n c *s, scale: c, B: c -> Y: n c *s", whole="s", made="c")

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        first, *rest = super().needs(node, ys, xs, yc)
        return [pattern.some(first, tuple(range(2, first.ndim)), keepdims=True), *rest]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        shape, rank = node.x_shape(), xs[0].rank
        scale, bias = (pattern.on_axis(np.ravel(x.number), 1, rank) for x in xs[1:3])
        flat, value = xs[0].per_index(1, shape[1])
        # What rounding leaves of X minus its mean is divided by no more than the root of epsilon.
        left = 1e-7 * pattern.on_axis(np.abs(value), 1, rank) / np.sqrt(float(node.attr("epsilon", 1e-5)))
        known = (pattern.on_axis(flat, 1, rank) & (left * np.abs(scale) <= 1e-4)) | (scale == 0)
        return [Constants(known, np.where(known, bias, 0.0))]


class Normalised(Operator):
    """Normalises over some axes, then scales by stored parameters: known where the scale is 0."""

    lock_reason = "normalisation-statistics"
    lock_detail = "normalises over this axis"
    stated = CONTINUOUS

    def axes(self, node: OpNode) -> Correspondence:
        letters, mixed = row("a", len(node.x_shape())), self.normalised(node)
        for axis in mixed:
            letters[axis] = f"m{axis}"
        x, mean = " ".join(letters), " ".join(f"one{axis}" if axis in mixed else i for axis, i in enumerate(letters))
        whole = " ".join((*(letters[axis] for axis in mixed), *(f"one{axis}" for axis in mixed)))
        made = self.made(letters, mixed)
        return Axes(f"X: {x} -> Y: {x}, Mean: {mean}, InvStdDev: {mean}", whole=whole, made=made)(node)

    def made(self, letters: Sequence[str], mixed: Sequence[int]) -> str | None:
        """The letters along which units lie."""
        return letters[mixed[-1]]

    def normalised(self, node: OpNode) -> list[int]:
        """The axes that are normalised together."""
        rank = len(node.x_shape())
        return list(range(int(node.attr("axis", -1)) % rank, rank))

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        rest = [Constants.unknown(len(s or ())) for s in node.out_shapes[1:]]
        if not node.has(1) or node.static(1) is None or xs[1].rank > rank:
            return [Constants.unknown(rank), *rest]
        missing = (None,) * (rank - xs[1].rank)
        known = np.asarray(xs[1].number == 0)[missing]
        value = np.zeros((1,) * rank)
        if node.has(2):
            missing = (None,) * (rank - xs[2].rank)
            known, value = known & xs[2].known[missing], xs[2].number[missing]
        return [Constants(known, np.where(known, value, 0.0)), *rest]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked = ys[0] & ~self.constants(node, xs)[0].known
        for extra in ys[1:]:
            asked = pattern.uniform(asked.ndim, True) if extra.any() else asked
        whole = pattern.some(asked, tuple(self.normalised(node)), keepdims=True)
        result = [whole]
        for shape in node.in_shapes[1:]:
            fits = shape is not None and len(shape) <= ys[0].ndim
            result.append(pattern.any_to(ys[0], shape or ()) if fits else pattern.uniform(len(shape or ()), True))
        return result

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return Normalisation(1, 2)


class LayerNorm(Normalised):
    """LayerNormalization: Y = scale * (X - mean) / sqrt(variance + epsilon) + B, over the axes from `axis` on."""

    def normalisation(self, node: OpNode) -> Normalisation | None:
        single = int(node.attr("stash_type", 1)) == 1 and node.only_first_output
        centred = single and self.normalised(node) == [len(node.x_shape()) - 1]
        return Normalisation(1, 2, epsilon=float(node.attr("epsilon", 1e-5)) if centred else None)

    def trend(self, node: OpNode) -> Trend | None:
        """Deviations of so many numbers from their mean, by their root mean square, are no larger than its root.

        That is the formula. Where last digits are all that numbers far from 0 differ by, a kernel that takes a variance
        as a difference of squares divides by next to nothing, and onnxruntime has such kernels.
        """
        found = root_of_length(node, prod(node.x_shape()[axis] for axis in self.normalised(node)))
        return found and replace(found, formula=True)


class GroupNorm(Normalised):
    """Y normalised over the channels of a group and all positions; scale and bias per channel from opset 21 on.

    A group of which nothing is needed goes; one that is 0 as a whole comes out as the bias, where epsilon is not 0.
    """

    block_reason = "normalisation-statistics"
    block_detail = "normalises {} channels together, a group, of which some are alive"

    def unsupported(self, node: OpNode) -> str | None:
        per_channel = node.x_shape(1) == node.x_shape(2) == node.x_shape()[1:2]
        per_group = node.x_shape(1) == node.x_shape(2) == (self._groups(node),)
        return None if per_channel or per_group else "a scale of another shape"

    def _groups(self, node: OpNode) -> int:
        return int(node.attr("num_groups", 1))

    def axes(self, node: OpNode) -> Correspondence:
        one = "(g c)" if node.x_shape(1) == node.x_shape()[1:2] else "g"
        whole = "c s" if self._groups(node) > 1 else "g c s"
        text = f"X: n (g c) *s, scale: {one}, B: {one} -> Y: n (g c) *s"
        return Axes(text, whole=whole, made="g c", given={"g": self._groups(node)})(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank, channels, groups = xs[0].rank, node.y_shape()[1], self._groups(node)
        known, value = xs[0].per_index(1, channels)
        empty = (known & (value == 0)).reshape(groups, -1).all(axis=1)
        still = np.repeat(empty, channels // groups) | (self._per_channel(node, xs[1].number) == 0)
        still = still & (float(node.attr("epsilon", 1e-5)) > 0)  # else 0 / 0
        still = still & self._per_channel(node, xs[1].known) & self._per_channel(node, xs[2].known)
        number = np.where(still, self._per_channel(node, xs[2].number), 0.0)
        return [Constants(pattern.on_axis(still, 1, rank), pattern.on_axis(number, 1, rank))]

    def _per_channel(self, node: OpNode, array: Array) -> Array:
        """A parameter per channel or per group, as it counts for each channel."""
        return np.repeat(np.broadcast_to(array, node.x_shape(1)), node.y_shape()[1] // node.x_shape(1)[0])

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        channels = node.y_shape()[1]
        used = pattern.per_index(ys[0], 1, channels, every=False)
        asked = pattern.per_index(ys[0] & ~self.constants(node, xs)[0].known, 1, channels, every=False)
        groups = pattern.some(asked.reshape(self._groups(node), -1), 1)
        whole = pattern.on_axis(np.repeat(groups, channels // len(groups)), 1, ys[0].ndim)
        parameters = pattern.some(used.reshape(node.x_shape(1)[0], -1), 1)
        return [whole, *(parameters for _ in xs[1:])]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        kept = cut.keeps.get(node.x(0, 1)).reshape(self._groups(node), -1).any(axis=1)
        return Edit() if kept.all() else Edit(attributes={"num_groups": int(kept.sum())})


class WithoutUnits(Normalised):
    """Has no parameter per index, and makes no units."""

    def normalisation(self, node: OpNode) -> Normalisation | None:
        return None

    def made(self, letters: Sequence[str], mixed: Sequence[int]) -> str | None:
        return None


_LEAST_EPSILON = 1e-20  # squares of what is divided by less may be lost in single precision


def root_of_length(node: OpNode, length: int, position: int = 1) -> Trend | None:
    """The trend of what is divided by the root mean square of so many numbers, then scaled and shifted.

    `position` is that of the scale; the shift follows it.
    """
    scale = node.static(position)
    shift = node.static(position + 1) if node.has(position + 1) else np.zeros(())
    if scale is None or shift is None or float(node.attr("epsilon", 1e-5)) < _LEAST_EPSILON:
        return None
    size = np.abs(np.asarray(scale, np.float64)) * (length**0.5 * (1 + (length + 16) * UNIT))
    middle = np.asarray(shift, np.float64)
    size = size + 4 * UNIT * (size + np.abs(middle))
    return Trend(Ends.ANYWHERE, low=middle - size, high=middle + size)


# Of larger numbers the last digits, which another order of summation changes, show in their exponentials.
_LARGEST, _LARGEST_HALF, _HALF = 80.0, 4.0, ("float16", "bfloat16")


class Softmax(WithoutUnits):
    """Softmax, LogSoftmax, Hardmax: the axis stays whole; before opset 13 all axes from it on.

    The first two are known where all entries along the axis are, and each feed has as many of them.
    """

    def normalised(self, node: OpNode) -> list[int]:
        rank = len(node.x_shape())
        if node.version < 13:
            return list(range(int(node.attr("axis", 1)) % rank, rank))
        return [int(node.attr("axis", -1)) % rank]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        axes, x = self.normalised(node), xs[0]
        free = bool(node.in_free) and axes[0] in node.in_free[0]
        if node.op_type not in ("Softmax", "LogSoftmax") or node.version < 13 or free or not x.any:
            return [Constants.unknown(x.rank)]
        number = pattern.along(x.number, axes[0], node.x_shape()[axes[0]])
        small = np.abs(number) <= (_LARGEST_HALF if node.y_dtype in _HALF else _LARGEST)
        known = pattern.every(x.known & small, axes[0], keepdims=True)
        shifted = np.where(known, number - number.max(axis=axes[0], keepdims=True, initial=-np.inf), 0.0)
        total = np.exp(shifted).sum(axis=axes[0], keepdims=True)
        value = np.exp(shifted) / total if node.op_type == "Softmax" else shifted - np.log(total)
        return [Constants(known, np.where(known, value, 0.0))]

    def trend(self, node: OpNode) -> Trend | None:
        if node.op_type == "LogSoftmax":
            return Trend(Ends.ANYWHERE, high=SLACK * 10, steepest=2.0)
        steepest = 0.5 if node.op_type == "Softmax" else None  # where another entry is largest, Hardmax jumps
        return Trend(Ends.ANYWHERE, low=0.0, high=1 + SLACK * 10, steepest=steepest)

    def sums_to_one(self, node: OpNode) -> int | None:
        """Where the element type has room for the sum's last digits."""
        return self.levels(node) if node.op_type == "Softmax" else None

    def levels(self, node: OpNode) -> int | None:
        """Where the element type has room for the digits that a summand shifts."""
        axes = self.normalised(node)
        exact = node.op_type != "Hardmax" and len(axes) == 1 and node.y_dtype in SINGLE_OR_DOUBLE
        return axes[0] if exact else None


class LocalResponse(WithoutUnits):
    """LRN: neighbours in the channel axis."""

    def normalised(self, node: OpNode) -> list[int]:
        return [1]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        # X / (bias + alpha/size * sum of squares)^beta is 0 where X is 0
        zero = xs[0].zero if float(node.attr("bias", 1.0)) > 0 else pattern.uniform(xs[0].rank, False)
        return [Constants(zero, np.zeros((1,) * xs[0].rank))]


class LpNorm(WithoutUnits):
    """LpNormalization along one axis."""

    def normalised(self, node: OpNode) -> list[int]:
        return [int(node.attr("axis", -1)) % len(node.x_shape())]


register(BatchNorm(), "BatchNormalization")
register(InstanceNorm(), "InstanceNormalization")
_NORMALISED = PerChannel.stated
register(LayerNorm(), "LayerNormalization", traits=_NORMALISED)
register(GroupNorm(), "GroupNormalization", traits=_NORMALISED)
register(Softmax(), "Softmax", "LogSoftmax", traits=replace(CONTINUOUS, carries_nan=(0,)))
register(Softmax(), "Hardmax", traits=replace(CONTINUOUS, jumps=True))
register(LocalResponse(), "LRN", traits=_NORMALISED)
register(LpNorm(), "LpNormalization", traits=replace(CONTINUOUS, jumps=True))
register(LayerNorm(), "LayerNormalization", domain=CONTRIB)
