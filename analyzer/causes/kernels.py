"""The weights of a convolution or product as rows: what one output unit reads of which input channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.ops.context import Call
from analyzer.ops.weighted_sum import WeightedSum


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights `[outputs, inputs per group, taps]` and the value they are applied to.

    `bias` has one number per output (NaN where it is in other units, as in integer operators); `stored` is the
    name of the weight tensor, `channels` the number of input channels on axis `axis` of `data`, and `step` what all
    weights were rounded to.
    """

    node: str
    data: str
    axis: int
    channels: int
    weights: Array
    bias: Floats
    stored: str
    groups: int = 1
    step: float | None = None

    def rows(self, outputs: Ints) -> Array:
        """Weights of these outputs [outputs, inputs per group, taps], those of each in one piece of memory."""
        return np.ascontiguousarray(self.weights[outputs])

    def reads(self, output: int) -> slice:
        """Input channels that the rows of one output belong to."""
        per_group = self.weights.shape[1]
        start = output // max(len(self.weights) // self.groups, 1) * per_group
        return slice(start, start + per_group)

    @cached_property
    def sizes(self) -> Floats:
        """Largest |weight| of each output."""
        flat = self.weights.reshape(len(self.weights), -1)
        highest, lowest = flat.max(axis=1, initial=0), flat.min(axis=1, initial=0)
        return np.asarray(np.maximum(highest.astype(np.float64), -lowest.astype(np.float64)) + 0.0)  # no minus zero

    @cached_property
    def vanishing(self) -> Bools:
        """Outputs whose weights are all zero, or at most a millionth of what the layer's usually are."""
        sizes = self.sizes
        usual = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0
        return np.asarray(sizes <= 1e-6 * usual)


def kernel_of(call: Call, total: WeightedSum, axis: int) -> Kernel | None:
    """The rows behind the indices of `axis` of the call's output; None where the weights are not stored so."""
    rows = total.rows if total.unit_axis == axis else None
    if rows is None or total.axis is None:
        return None
    op = call.op
    data, weight = op.node.inputs[total.data], op.node.inputs[total.weight]
    channels = op.x_shape(total.data)[total.axis]
    return Kernel(op.name, data, total.axis, channels, rows, total.offsets, weight, total.groups, total.step)
