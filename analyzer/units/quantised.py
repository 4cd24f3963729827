"""Activations that quantisation swallowed: a zero point at the lowest integer cuts everything below zero off.

Quantisers drop a Relu in front of such a rounding, and sums of integers clip by themselves, as their descriptions say.
A unit there is dead when it sits at its zero point. A sum that enters an activation is not audited a second time.
"""

from __future__ import annotations

from collections.abc import Collection

from analyzer.facts.units import Kind
from analyzer.ops.context import Call, Context
from analyzer.ops.operator import Activation


def clipped_by_rounding(context: Context, call: Call, audited: Collection[str]) -> tuple[str, Activation] | None:
    """The name and the audit of numbers whose rounding to integers acts as a Relu."""
    affine = call.rule.affine(call.op)
    producer = context.graph.producer.get(call.inputs[0]) if affine is not None and affine.integers else None
    if producer is None:
        return None
    rounding = context.by_node[producer.index]
    clips = rounding.rule.clips(rounding.op)
    if clips is None or clips[0] != 0 or rounding.inputs[0] in audited or not _may_fall_below(context, rounding):
        return None
    return f"{rounding.op.op_type} (as Relu)", Activation(Kind.RECTIFIER, *clips)


def _may_fall_below(context: Context, rounding: Call) -> bool:
    """Whether what is rounded is a sum, a product or a normalisation."""
    source = context.graph.producer.get(rounding.inputs[0])
    if source is None:
        return False
    rule, op = context.by_node[source.index].rule, context.by_node[source.index].op
    norm = rule.normalisation(op)
    sums = any(rule.summed_axes(op, position) for position in range(len(op.inputs)))
    return rule.aligned or sums or (norm is not None and norm.alone)


def enters_activation(context: Context, value: str) -> bool:
    """Whether an audited activation reads the value: on integers, over a stored bias, or on what they stand for."""
    for node, _ in context.graph.consumers.get(value, ()):
        call = context.by_node[node.index]
        rule, op = call.rule, call.op
        if sum(array is None for array, name in zip(op.statics, op.inputs, strict=True) if name) != 1:
            continue
        activation = None if rule.summed_axes(op, 0) else rule.activation(op)
        if activation is not None and activation.kind is not Kind.LINEAR:
            return True
        affine = rule.affine(op)
        if affine is not None and enters_activation(context, call.outputs[0]):
            return True
    return False
