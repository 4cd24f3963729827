"""Values that are finite for every feed within bounds: what enters and the weights leave no room for an overflow.

Only for these a NaN or an infinity need not be looked for in the run. From the inputs on, the largest magnitude that
each value can have is carried through the graph; an operator that is not listed here ends the chain. Everything that
is multiplied counts as one at least: then the bound holds for what onnxruntime computes on the way, too, such as the
product of two weights that it makes one of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.graph import Graph, Node

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST_INPUT = 1e6  # of a feed; more than pictures of 16 bits hold
LARGEST_VALUE = 1e30  # single precision ends at 3.4e38, and sums may be taken in any order
CHUNK = 1 << 20  # elements of a weight that are looked at together

_SAME = frozenset(
    ("Relu", "Identity", "Dropout", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather",
     "Split", "GlobalMaxPool", "GlobalAveragePool")
)  # fmt: skip


def within(feeds: Mapping[str, Array]) -> bool:
    """Whether the inputs of a feed are as small as `magnitudes` takes them to be, and finite."""
    single = (a for a in feeds.values() if a.dtype == np.float32 and a.size)
    return all(bool(a.max() <= LARGEST_INPUT and a.min() >= -LARGEST_INPUT) for a in single)


def magnitudes(graph: Graph, wanted: Iterable[str]) -> dict[str, float]:
    """The largest magnitudes for feeds `within`, of the wanted values and those they are computed from.

    Values that may overflow, and values of which nothing is known, are left out.
    """
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
    largest = {n: LARGEST_INPUT for n, kind in graph.inputs.items() if kind.dtype == np.float32}
    for node in graph.nodes:
        if needed.isdisjoint(node.outputs) or not node.inputs or node.domain:
            continue
        bound = _bound(graph, node, largest)
        if bound is not None and bound <= LARGEST_VALUE:  # never true of NaN
            shown = node.outputs if node.op_type == "Split" else node.outputs[:1]
            largest.update({name: bound for name in shown if name})
    return largest


def _bound(graph: Graph, node: Node, largest: Mapping[str, float]) -> float | None:
    """Largest magnitude of the node's first output; None when nothing is known."""
    first = largest.get(node.inputs[0])
    if node.op_type in _JOINS:
        parts = [_magnitude(graph, name, largest) for name in node.inputs]
        known = [p for p in parts if p is not None]
        return _JOINS[node.op_type](known) if len(known) == len(parts) else None
    if first is None:
        return None
    if node.op_type in _SAME:
        trains = node.op_type == "Dropout" and len(node.inputs) > 2
        return None if trains else first
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(graph, node, first)


def _magnitude(graph: Graph, name: str, largest: Mapping[str, float]) -> float | None:
    """Of a value that is known to be small, or of a constant."""
    if name in largest:
        return largest[name]
    constant = graph.constant(name)
    return None if constant is None or constant.dtype != np.float32 else _largest(constant)


def _largest(constant: Array) -> float:
    return _most((float(constant.max()), -float(constant.min()))) if constant.size else 0.0


def _most(numbers: Sequence[float] | Array) -> float:
    """NaN if any is, unlike Python's `max`."""
    return float(np.max(numbers))


def _product(parts: Sequence[float]) -> float:
    return math.prod(_most((1.0, part)) for part in parts)


_JOINS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Add": sum,
    "Sub": sum,
    "Sum": sum,
    "Mul": _product,
    "Concat": _most,
}


def _bounded(graph: Graph, node: Node, first: float) -> float | None:
    return 1.0


def _pooled(graph: Graph, node: Node, first: float) -> float | None:
    """A window without gaps that may not start beyond the end always sees a position; others give -inf or 0 / 0."""
    gaps = any(d != 1 for d in node.attr("dilations") or ())
    return None if gaps or node.attr("ceil_mode") else first


def _leaky(graph: Graph, node: Node, first: float) -> float | None:
    return first * _most((1.0, abs(float(node.attr("alpha", 0.01)))))


def _linear(graph: Graph, node: Node, first: float) -> float | None:
    """Conv, Gemm and MatMul with constant weights: the sum of what each product can be at most."""
    weight = graph.constant(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or not weight.size:
        return None
    gemm = node.op_type == "Gemm"
    rows = node.op_type == "Conv" or (gemm and bool(node.attr("transB", 0)))
    alpha, beta = (_most((1.0, abs(float(node.attr(name, 1.0))))) if gemm else 1.0 for name in ("alpha", "beta"))
    shift = 0.0
    if len(node.inputs) > 2 and node.inputs[2]:
        offset = graph.constant(node.inputs[2])
        if offset is None:
            return None
        shift = _largest(offset)
    total = _absolute_sum(weight.reshape(len(weight), -1) if rows else weight, -1 if rows else -2)
    return max(1.0, first) * _most((1.0, total)) * alpha + shift * beta


def _absolute_sum(weight: Array, axis: int) -> float:
    """Largest sum of magnitudes along an axis."""
    length = max(1, CHUNK * len(weight) // weight.size)
    parts = [weight[i : i + length] for i in range(0, len(weight), length)]
    sums = [np.abs(part).sum(axis=axis, dtype=np.float64) for part in parts]
    across = weight.ndim + axis == 0  # chunks lie along the axis that is summed
    return _most(np.sum(sums, axis=0)) if across else _most([_most(s) for s in sums])


def _normalised(graph: Graph, node: Node, first: float) -> float | None:
    """BatchNormalization with stored statistics."""
    scale, offset, mean, variance = (graph.constant(n) for n in node.inputs[1:5])
    trains = node.attr("training_mode", 0) or len(node.outputs) > 1
    if scale is None or offset is None or mean is None or variance is None or trains:
        return None
    spread = variance.astype(np.float32) + np.float32(node.attr("epsilon", 1e-5))
    if not spread.min(initial=1.0) > 0:  # in single precision, as it is computed
        return None
    with np.errstate(invalid="ignore"):  # both may be infinite
        factor = np.maximum(1.0, np.abs(scale) / np.sqrt(spread.astype(np.float64)))
    return _most(factor * (max(1.0, first) + np.abs(mean)) + np.abs(offset)) if scale.size else 0.0


_RULES: Mapping[str, Callable[[Graph, Node, float], float | None]] = {
    "Conv": _linear,
    "Gemm": _linear,
    "MatMul": _linear,
    "BatchNormalization": _normalised,
    "LeakyRelu": _leaky,
    "MaxPool": _pooled,
    "AveragePool": _pooled,
    "Sigmoid": _bounded,
    "Tanh": _bounded,
}
