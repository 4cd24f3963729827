"""Activations that quantisation swallowed: a zero point at the lowest integer cuts everything below zero off.

Quantisers drop a Relu in front of such a QuantizeLinear, and QLinearConv, QLinearMatMul and QLinearAdd clip by
themselves. A unit there is dead when it sits at its zero point. QLinearSigmoid and QLinearLeakyRelu are audited as
their float counterparts are; a sum that enters an activation is not audited a second time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from analyzer.facts.units import Kind
from analyzer.ops.binary import Aligned
from analyzer.ops.clip import ClipRule
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.norm import PerChannel
from analyzer.ops.operator import Activation
from analyzer.ops.qlinear import QLinear
from analyzer.ops.quantize_linear import Linear
from analyzer.ops.unary import ACTIVATIONS

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
    if isinstance(call.rule, QLinear):
        return _of_qlinear(call, call.rule)
    if op.op_type in _Y_ZERO and call.barrier is None:
        point = op.static(_Y_ZERO[op.op_type])
        if point is None or point.size != 1 or point.dtype.kind not in "iu":
            return None
        zero, limits = int(np.ravel(point)[0]), np.iinfo(point.dtype)
        if zero != limits.min:
            linear = Quantised(op.op_type, Activation(Kind.LINEAR), float(zero))
            return None if _enters_activation(context, op.outputs[0]) else linear
        clipped = Activation(Kind.RECTIFIER, float(zero), float(limits.max))
        return Quantised(f"{op.op_type}+Relu", clipped, float(zero))
    if op.op_type != "DequantizeLinear" or not isinstance(call.rule, Linear):
        return None
    node = context.graph.producer.get(call.inputs[0])
    before = context.by_node.get(node.index) if node is not None else None
    if before is None or before.op.op_type != "QuantizeLinear" or not isinstance(before.rule, Linear):
        return None
    return _as_relu(context, before, audited)


def _of_qlinear(call: Call, rule: QLinear) -> Quantised | None:
    """An activation on integers, or a sum or product that clips what lies below zero, as with a Relu behind it."""
    op, limits = call.op, rule.limits(call.op)
    scale, zero = rule.step(op, rule.result(op))
    if rule.like in ACTIVATIONS:
        known = ACTIVATIONS[rule.like][1]
        low, high = (None if b is None else min(zero + b / scale, float(limits.max)) for b in (known.low, known.high))
        return Quantised(op.op_type, Activation(known.kind, low, high), float(zero))
    points = [rule.step(op, p + 1)[1] for p in rule.values(op)]
    below = any(point != limits.min for point in points)  # a sum of what is never negative needs no Relu
    if rule.like not in ("Add", "Mul") or zero != limits.min or not below:
        return None
    return Quantised(f"{op.op_type}+Relu", Activation(Kind.RECTIFIER, float(zero), float(limits.max)), float(zero))


def _enters_activation(context: Context, value: str) -> bool:
    """Whether an audited activation reads the value: on integers, over a stored bias, or on what they stand for."""
    for node, _ in context.graph.consumers.get(value, ()):
        call = context.by_node[node.index]
        if call.rule.activation is not None or isinstance(call.rule, ClipRule):
            return True
        if isinstance(call.rule, Linear) and _enters_activation(context, call.outputs[0]):
            return True
        if isinstance(call.rule, QLinear):
            alone = sum(call.op.static(p) is None for p in call.rule.values(call.op)) == 1
            if alone and _of_qlinear(call, call.rule) is not None:
                return True
    return False


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
