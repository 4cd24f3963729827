"""Activations that quantisation swallowed: a zero point at the lowest integer cuts everything below zero off.

Quantisers drop a Relu in front of such a QuantizeLinear, and QLinearConv and QLinearMatMul clip by themselves. A unit
there is dead when it sits at its zero point.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from analyzer.facts.units import Kind
from analyzer.ops.binary import Aligned
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.norm import PerChannel
from analyzer.ops.quantized import Linear
from analyzer.ops.rule import Activation

_Y_ZERO = {"QLinearConv": 7, "QLinearMatMul": 7, "QGemm": 8}  # position of the output's zero point


@dataclass(frozen=True, slots=True)
class Quantised:
    """How a quantised value is audited; `zero` is what stands for zero in it."""

    name: str
    activation: Activation
    zero: float


def quantised_activation(context: Context, call: Call, audited: Collection[str]) -> Quantised | None:
    """The audit of an integer product's output, or of a DequantizeLinear whose quantiser acts as a Relu."""
    op = call.op
    if op.op_type in _Y_ZERO and call.barrier is None:
        point = op.static(_Y_ZERO[op.op_type])
        if point is None or point.size != 1 or point.dtype.kind not in "iu":
            return None
        zero, limits = int(np.ravel(point)[0]), np.iinfo(point.dtype)
        if zero != limits.min:
            return Quantised(op.op_type, Activation(Kind.LINEAR), float(zero))
        clipped = Activation(Kind.RECTIFIER, float(zero), float(limits.max))
        return Quantised(f"{op.op_type}+Relu", clipped, float(zero))
    if op.op_type != "DequantizeLinear" or not isinstance(call.rule, Linear):
        return None
    node = context.graph.producer.get(call.inputs[0])
    before = context.by_node.get(node.index) if node is not None else None
    if before is None or before.op.op_type != "QuantizeLinear" or not isinstance(before.rule, Linear):
        return None
    return _as_relu(context, before, audited)


def _as_relu(context: Context, quantiser: Call, audited: Collection[str]) -> Quantised | None:
    source = context.graph.producer.get(quantiser.inputs[0])
    point, scale = quantiser.op.static(2), quantiser.op.static(1)
    if source is None or quantiser.inputs[0] in audited or point is None or scale is None or scale.size != 1:
        return None
    rule = context.by_node[source.index].rule
    limits = np.iinfo(point.dtype)
    if not isinstance(rule, ConvRule | Contraction | PerChannel | Aligned) or (np.ravel(point) != limits.min).any():
        return None
    high = float(limits.max - limits.min) * float(np.ravel(scale)[0])
    return Quantised("QuantizeLinear (as Relu)", Activation(Kind.RECTIFIER, 0.0, high), 0.0)
