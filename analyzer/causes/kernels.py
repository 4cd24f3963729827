"""The weights of a convolution or product as rows: what one output unit reads of which input channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.ops.context import Call
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.conv_transpose import ConvTransposeRule


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights `[outputs, inputs per group, taps]` and the value they are applied to.

    `bias` has one number per output (NaN where it is in other units, as in integer operators); `stored` is the
    name of the weight tensor, `channels` the number of input channels on axis `axis` of `data`.
    """

    node: str
    data: str
    axis: int
    channels: int
    weights: Array
    bias: Floats
    stored: str
    groups: int = 1

    def row(self, output: int) -> Floats:
        """Weights of one output, [inputs per group, taps]."""
        return np.asarray(self.weights[output], np.float64)

    def reads(self, output: int) -> Ints:
        """Input channels that the rows of one output belong to."""
        per_group = self.weights.shape[1]
        start = output // max(len(self.weights) // self.groups, 1) * per_group
        return np.arange(start, start + per_group)

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


def kernel_of(call: Call, axis: int) -> Kernel | None:
    """The rows behind the indices of `axis` of the call's output; None where the weights are not stored so."""
    if isinstance(call.rule, ConvRule):
        return _convolution(call.rule, call) if axis == 1 else None
    return _product(call.rule, call, axis) if isinstance(call.rule, Contraction) else None


def _convolution(rule: ConvRule, call: Call) -> Kernel | None:
    op = call.op
    weights, groups = rule.kernel(op), rule.groups(op)
    weights = weights.reshape(*weights.shape[:2], -1)
    if isinstance(rule, ConvTransposeRule):
        parts = np.split(weights, groups)
        weights = np.concatenate([part.swapaxes(0, 1) for part in parts])
    bias = np.zeros(len(weights))
    if op.has(rule.bias):
        array = op.static(rule.bias)
        bias = np.full(len(weights), np.nan) if array is None else np.asarray(array, np.float64).reshape(-1)
    if op.op_type == "QLinearConv":
        bias = np.full(len(weights), np.nan)  # in units of the input's times the kernel's scale
    data = op.node.inputs[rule.x]
    return Kernel(op.name, data, 1, op.x_shape(rule.x)[1], weights, bias, op.node.inputs[rule.w], groups)


def _product(rule: Contraction, call: Call, axis: int) -> Kernel | None:
    op = call.op
    letters = rule.letters(op)
    for stored, data, own, others in (
        (rule.b, rule.a, letters.b, letters.a),
        (rule.a, rule.b, letters.a, letters.b),
    ):
        array, shared = op.static(stored), letters.contracted
        if array is None or op.static(data) is not None or len(own) != 2 or len(shared) != 1:
            continue
        if letters.y[axis] not in own or letters.y[axis] in shared:
            continue
        weights = array if own.index(shared[0]) == 1 else array.T
        factor = rule.scale(op)
        weights = (weights if factor == 1 else weights * factor)[:, :, np.newaxis]
        bias = _summand(rule, call, axis, len(weights))
        place = others.index(shared[0])
        name = op.node.inputs[data]
        return Kernel(op.name, name, place, op.x_shape(data)[place], weights, bias, op.node.inputs[stored])
    return None


def _summand(rule: Contraction, call: Call, axis: int, length: int) -> Floats:
    op = call.op
    if op.op_type == "QLinearMatMul":
        return np.full(length, np.nan)
    if rule.bias is None or not op.has(rule.bias):
        return np.zeros(length)
    array = op.static(rule.bias)
    factor = float(op.attr("beta", 1.0))
    if array is None or (array.size > 1 and array.size != length):
        return np.full(length, np.nan)
    return factor * np.broadcast_to(np.asarray(array, np.float64).reshape(-1), (length,))
