"""Merge two dense layers around a ReLU that never leaves its linear region: one product instead of two.

    y = relu(x W1 + b1) W2 + b2   with every remaining unit always on   ->   y = x (W1 W2) + (b1 W2 + b2)

Done only where the merged weight is smaller than the two. Exact on inputs on which the units stay on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.units import Kind, ShapeTable
from analyzer.graph import Editor, Graph, LoadedModel
from analyzer.ops.context import Call, Context
from analyzer.ops.shared_context import context_of
from analyzer.ops.weighted_sum import WeightedSum


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """x W + b as the graph writes it: the sum, the last node of it, the weight [out, in] and the bias [out]."""

    call: Call
    last: Call
    total: WeightedSum
    weight: Array
    bias: Array

    @property
    def source(self) -> str:
        """The value that x is."""
        return self.call.inputs[self.total.data]


@np.errstate(all="ignore")  # weights may be anything, as in the walk
def merge_linear(
    loaded: LoadedModel, shapes: ShapeTable, always_on: Collection[str]
) -> tuple[LoadedModel, tuple[str, ...]]:
    """The model with every such pair merged, and the ReLU values that went; `always_on` names the candidates."""
    gone: list[str] = []
    context = context_of(loaded.graph, shapes)
    for value in always_on:
        pair = _pair(context, value)
        if pair is None:
            continue
        merged = _merged(loaded, *pair)
        if _stored(merged.graph) < _stored(loaded.graph):  # a weight that others read as well stays beside the new one
            loaded, context = merged, context_of(merged.graph, shapes)
            gone.append(value)
    return loaded, tuple(gone)


def _stored(graph: Graph) -> int:
    """Stored elements that something reads."""
    return sum(prod(graph.initializer_shape(name)) for name in graph.initializer_names if graph.consumers.get(name))


def _pair(context: Context, value: str) -> tuple[Dense, Call, Dense] | None:
    """The layers around an activation that passes on what lies above its lower bound."""
    relu = _maker(context, value)
    activation = None if relu is None else relu.rule.activation(relu.op)
    if relu is None or activation is None or activation.enters is None or not activation.passes:
        return None
    bounded_below = activation.kind is Kind.RECTIFIER and activation.low is not None and activation.high is None
    before = _maker(context, relu.inputs[activation.enters])
    if not bounded_below or before is None:
        return None
    first = _ending_at(context, before)
    second = _dense(context.by_node[context.graph.consumers[value][0][0].index])
    if first is None or second is None or second.source != value:
        return None
    (hidden, inputs), outputs = first.weight.shape, second.weight.shape[0]
    at_best = (inputs + outputs + 1) * hidden  # what goes where nothing else reads it
    return (first, relu, second) if inputs * outputs < at_best else None


def _maker(context: Context, value: str) -> Call | None:
    """What makes a value that a single node reads."""
    alone = len(context.graph.consumers.get(value, ())) == 1 and value not in context.outputs
    node = context.graph.producer.get(value) if alone else None
    return None if node is None else context.by_node[node.index]


def _ending_at(context: Context, last: Call) -> Dense | None:
    """A sum, or a sum with a stored bias added behind it."""
    shifted = last.rule.affine(last.op)
    if shifted is None:
        return _dense(last)
    (position, factor), *others = shifted.factors.items()
    call = None if others or (factor != 1).any() else _maker(context, last.inputs[position])
    dense = None if call is None else _dense(call)
    bias = None if dense is None or dense.bias.any() else _per_unit(shifted.shift, len(dense.weight))
    if call is None or dense is None or bias is None or last.op.x_shape(position) != last.op.y_shape():
        return None
    if call.op.y_dtype != last.op.y_dtype:
        return None  # what is added is a change of type
    return Dense(call, last, dense.total, dense.weight, bias)


def _per_unit(bias: Array, width: int) -> Array | None:
    """One number per unit, where the bias varies along the last axis only."""
    if bias.size == 1 or bias.shape[-1:] == (bias.size,) == (width,):
        return np.broadcast_to(bias.reshape(-1), (width,))
    return None


def _dense(call: Call) -> Dense | None:
    """A product of the last axis with a stored matrix of floats."""
    total = call.rule.weighted_sum(call.op)
    if total is None or total.activated or total.scales != (1.0, 1.0) or total.rows is None or total.groups != 1:
        return None
    last = len(call.op.x_shape(total.data)) - 1, len(call.op.y_shape()) - 1
    if total.rows.dtype.kind != "f" or (total.axis, total.unit_axis) != last or np.isnan(total.offsets).any():
        return None
    return Dense(call, call, total, total.rows[:, :, 0], total.offsets) if total.rows.shape[2] == 1 else None


def _merged(loaded: LoadedModel, first: Dense, relu: Call, second: Dense) -> LoadedModel:
    copy = loaded.copy()
    editor, call, total = Editor(copy), second.call, second.total
    node, dtype = call.op.node, second.weight.dtype
    exact = second.weight.astype(np.float64) @ first.weight.astype(np.float64)
    bias = (second.weight.astype(np.float64) @ first.bias + second.bias).astype(dtype)
    weight = (exact if total.stored_axis == 1 else exact.T).astype(dtype)
    editor.set_input(node.index, total.data, first.source)
    editor.set_input(node.index, total.weight, editor.add_tensor(f"{node.inputs[total.weight]}/merged", weight))
    if total.bias is not None:
        editor.set_input(node.index, total.bias, editor.add_tensor(f"{node.name}/bias", bias))
    elif bias.any():
        editor.add_behind(node.index, editor.add_tensor(f"{node.name}/bias", bias))
    for index in dict.fromkeys(call.op.node.index for call in (relu, first.last, first.call)):
        editor.drop_node(index)
    editor.finish()
    return copy
