"""Merge two dense layers around a ReLU that never leaves its linear region: one product instead of two.

    y = relu(x W1 + b1) W2 + b2   with every remaining unit always on   ->   y = x (W1 W2) + (b1 W2 + b2)

Done only where the merged weight is smaller than the two. Exact on inputs on which the units stay on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from analyzer.graph import Editor, Graph, LoadedModel, Node

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Dense:
    """x W + b as the graph writes it: its first node, its last, the input, the weight [in, out] and the bias [out]."""

    first: Node
    last: Node
    source: str
    weight: Array
    bias: Array


def merge_linear(loaded: LoadedModel, always_on: Collection[str]) -> tuple[LoadedModel, tuple[str, ...]]:
    """The model with every such pair merged, and the ReLU values that went; `always_on` names the candidates."""
    gone: list[str] = []
    for value in always_on:
        found = _pair(loaded.graph, value)
        if found is None:
            continue
        merged = _merged(loaded, *found)
        if _stored(merged.graph) < _stored(loaded.graph):  # a weight that others read as well stays beside the new one
            loaded = merged
            gone.append(value)
    return loaded, tuple(gone)


def _stored(graph: Graph) -> int:
    """Stored elements that something reads."""
    return sum(prod(graph.initializer_shape(name)) for name in graph.initializer_names if graph.consumers.get(name))


def _pair(graph: Graph, value: str) -> tuple[Dense, Node, Dense] | None:
    relu = graph.producer.get(value)
    if relu is None or relu.op_type != "Relu" or not _alone(graph, value):
        return None
    before = graph.producer.get(relu.inputs[0])
    if before is None or not _alone(graph, relu.inputs[0]):
        return None
    first = _ending_at(graph, before)
    second = _starting_at(graph, graph.consumers[value][0][0], value)
    if first is None or second is None:
        return None
    inputs, hidden, outputs = first.weight.shape[0], first.weight.shape[1], second.weight.shape[1]
    at_best = (inputs + outputs + 1) * hidden  # what goes where nothing else reads it
    return (first, relu, second) if inputs * outputs < at_best else None


def _alone(graph: Graph, value: str) -> bool:
    return len(graph.consumers.get(value, ())) == 1 and value not in graph.outputs


def _ending_at(graph: Graph, node: Node) -> Dense | None:
    if node.op_type == "Add":
        for place in (0, 1):
            product, bias = graph.producer.get(node.inputs[place]), graph.constant(node.inputs[1 - place])
            if product is not None and bias is not None and product.op_type == "MatMul":
                dense, rank = _dense(graph, product), _least_rank(graph, product.outputs[0])
                if dense is not None and _alone(graph, product.outputs[0]) and bias.ndim <= rank:
                    whole = _per_unit(bias, dense.weight.shape[1])
                    return None if whole is None else Dense(product, node, dense.source, dense.weight, whole)
        return None
    return _dense(graph, node)


def _least_rank(graph: Graph, name: str) -> int:
    """Axes that a value has at least: a bias with more would add some."""
    while True:
        shape = graph.types[name].shape if name in graph.types else None
        node = graph.producer.get(name)
        if shape is not None or node is None:
            return len(shape or ())
        if node.op_type == "Gemm":
            return 2
        computed = [i for i in node.inputs if i not in graph.static_values]
        if node.op_type not in ("Add", "MatMul", "Relu") or not computed:
            return 1
        name = computed[0]


def _per_unit(bias: Array, width: int) -> Array | None:
    """One number per unit, where the bias varies along the last axis only."""
    if bias.size == 1 or bias.shape[-1:] == (bias.size,) == (width,):
        return np.broadcast_to(bias.reshape(-1), (width,))
    return None


def _starting_at(graph: Graph, node: Node, value: str) -> Dense | None:
    dense = _dense(graph, node)
    return dense if dense is not None and dense.source == value else None


def _dense(graph: Graph, node: Node) -> Dense | None:
    if node.op_type not in ("Gemm", "MatMul") or node.attr("transA", 0):
        return None
    weight = graph.constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return None
    weight = weight.T if node.attr("transB", 0) else weight
    bias: Array | None = np.zeros(weight.shape[1], weight.dtype)
    if node.op_type == "Gemm":
        if node.attr("alpha", 1.0) != 1.0 or node.attr("beta", 1.0) != 1.0:
            return None
        if len(node.inputs) > 2 and node.inputs[2]:
            bias = graph.constant(node.inputs[2])
    whole = None if bias is None else _per_unit(bias, weight.shape[1])
    return None if whole is None else Dense(node, node, node.inputs[0], weight, whole)


def _merged(loaded: LoadedModel, first: Dense, relu: Node, second: Dense) -> LoadedModel:
    copy = loaded.copy()
    editor, node = Editor(copy), second.first
    exact = first.weight.astype(np.float64) @ second.weight.astype(np.float64)
    bias = first.bias.astype(np.float64) @ second.weight.astype(np.float64) + second.bias
    weight = (exact.T if node.attr("transB", 0) else exact).astype(second.weight.dtype)
    editor.set_input(node.index, 0, first.source)
    editor.set_input(node.index, 1, editor.add_tensor(f"{node.inputs[1]}/merged", weight))
    stored = bias.astype(second.weight.dtype)
    if node.op_type == "Gemm":
        editor.set_input(node.index, 2, editor.add_tensor(f"{node.name}/bias", stored))
    elif stored.any():
        editor.add_behind(node.index, "Add", editor.add_tensor(f"{node.name}/bias", stored))
    for index in dict.fromkeys((relu.index, first.last.index, first.first.index)):
        editor.drop_node(index)
    editor.finish()
    return copy
