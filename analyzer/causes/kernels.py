"""The weights of a convolution or product as rows: what one output unit reads of which input channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.statistics import Floats, Ints
from analyzer.ops.context import Call
from analyzer.ops.weighted_sum import WeightedSum

MOST_USUAL, RUN = 128, 16  # outputs that tell what is usual, and how many of them stand side by side


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
    def usual(self) -> float:
        """How large the largest |weight| of an output usually is: the median of those that have one.

        Of many outputs some runs are looked at, spread over all: to read a wide layer takes as long as to run it.
        """
        outputs = np.arange(len(self.weights))
        if len(outputs) > MOST_USUAL:
            starts = np.linspace(0, len(outputs) - RUN, MOST_USUAL // RUN).astype(np.intp)
            outputs = (starts[:, np.newaxis] + np.arange(RUN)).reshape(-1)
        sizes = largest(self.weights[outputs])
        return float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0


def largest(rows: Array) -> Floats:
    """Largest |weight| of each row."""
    flat = rows.reshape(len(rows), -1)
    highest, lowest = flat.max(axis=1, initial=0), flat.min(axis=1, initial=0)
    return np.asarray(np.maximum(highest.astype(np.float64), -lowest.astype(np.float64)) + 0.0)  # no minus zero


def kernel_of(call: Call, total: WeightedSum, axis: int) -> Kernel | None:
    """The rows behind the indices of `axis` of the call's output; None where the weights are not stored so."""
    rows = total.rows if total.unit_axis == axis else None
    if rows is None or total.axis is None:
        return None
    op = call.op
    data, weight = op.node.inputs[total.data], op.node.inputs[total.weight]
    channels = op.x_shape(total.data)[total.axis]
    return Kernel(op.name, data, total.axis, channels, rows, total.offsets, weight, total.groups, total.step)
