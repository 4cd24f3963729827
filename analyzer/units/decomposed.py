"""Activations that exporters write as several nodes: found by the node in their middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analyzer.facts.units import Kind
from analyzer.graph import Graph, Node
from analyzer.ops.operator import Activation


@dataclass(frozen=True, slots=True)
class Found:
    """The last node of a decomposed activation, what it is, and the inner values not to be judged on their own."""

    node: Node
    name: str
    activation: Activation
    inner: tuple[str, ...]


_SMOOTH = Activation(Kind.SMOOTH)


def _reader(graph: Graph, value: str, *op_types: str) -> Node | None:
    """The only reader of a value, when it is one of these operators."""
    readers = graph.consumers.get(value, ())
    if not readers or len({node.index for node, _ in readers}) != 1 or value in graph.outputs:
        return None
    return readers[0][0] if readers[0][0].op_type in op_types else None


def _other(node: Node, value: str) -> str:
    return node.inputs[1] if node.inputs[0] == value else node.inputs[0]


def _scalar(graph: Graph, name: str) -> float | None:
    array = graph.constant(name)
    return float(np.ravel(array)[0]) if array is not None and array.size == 1 else None


def gated(graph: Graph, node: Node) -> Found | None:
    """Mul(x, Sigmoid(a x)) is SiLU; Mul(x, HardSigmoid(x)) HardSwish; Mul(x, Tanh(Softplus(x))) Mish."""
    if node.op_type not in ("Sigmoid", "HardSigmoid", "Tanh"):
        return None
    product = _reader(graph, node.outputs[0], "Mul")
    if product is None:
        return None
    source, inner = node.inputs[0], [node.outputs[0]]
    before = graph.producer.get(source)
    if node.op_type == "Tanh":
        if before is None or before.op_type != "Softplus":
            return None
        inner.append(source)
        source = before.inputs[0]
    elif before is not None and before.op_type == "Mul" and _other(product, node.outputs[0]) in before.inputs:
        source = _other(product, node.outputs[0])
    if _other(product, node.outputs[0]) != source:
        return None
    name = {"Sigmoid": "SiLU", "HardSigmoid": "HardSwish", "Tanh": "Mish"}[node.op_type]
    return Found(product, name, _SMOOTH, tuple(inner))


def relu6_gate(graph: Graph, node: Node) -> Found | None:
    """x * relu6(x + 3) / 6, in either order of product and quotient; or relu6(x + 3) / 6 alone (HardSigmoid)."""
    before = graph.producer.get(node.inputs[0]) if node.op_type == "Clip" else None
    if before is None or before.op_type != "Add" or _clip_bounds(graph, node) != (0.0, 6.0):
        return None
    shift = [_scalar(graph, n) for n in before.inputs]
    source = before.inputs[0] if shift[1] == 3 else before.inputs[1] if shift[0] == 3 else None
    if source is None:
        return None
    value, inner, gate = node.outputs[0], [node.outputs[0]], node
    scaled = multiplied = False
    for _ in range(2):
        step = _reader(graph, value, "Mul", "Div")
        if step is None:
            break
        factor = _scalar(graph, _other(step, value))
        sixth = factor is not None and abs(factor - 6 if step.op_type == "Div" else factor - 1 / 6) < 1e-3
        if not scaled and sixth and (step.op_type == "Mul" or step.inputs[0] == value):
            scaled = True
        elif not multiplied and step.op_type == "Mul" and _other(step, value) == source:
            multiplied = True
        else:
            break
        gate, value = step, step.outputs[0]
        inner.append(value)
    if multiplied:
        return Found(gate, "HardSwish", _SMOOTH, tuple(inner[:-1]))
    if scaled:
        return Found(gate, "HardSigmoid", Activation(Kind.RECTIFIER, 0.0, 1.0), tuple(inner[:-1]))
    return None


def _clip_bounds(graph: Graph, node: Node) -> tuple[float | None, float | None]:
    """Lower and upper bound where the file states them, as inputs or, before opset 11, as attributes."""
    given = [
        _scalar(graph, node.inputs[i]) if len(node.inputs) > i else node.attr(n) for i, n in ((1, "min"), (2, "max"))
    ]
    return given[0], given[1]


def gelu(graph: Graph, node: Node) -> Found | None:
    """0.5 x (1 + erf(x / sqrt 2)) and its tanh form: from Erf or Tanh over Add 1 to the last product."""
    if node.op_type not in ("Erf", "Tanh"):
        return None
    plus = _reader(graph, node.outputs[0], "Add")
    if plus is None or _scalar(graph, _other(plus, node.outputs[0])) != 1.0:
        return None
    value, inner, last = plus.outputs[0], [node.outputs[0]], None
    halves: list[str] = []
    for _ in range(2):
        step = _reader(graph, value, "Mul")
        if step is None:
            break
        half = graph.producer.get(_other(step, value))
        if half is not None and half.op_type == "Mul" and any(_scalar(graph, n) is not None for n in half.inputs):
            halves.append(half.outputs[0])
        last, value = step, step.outputs[0]
        if _scalar(graph, _other(step, inner[-1])) is None and len(inner) > 1:
            break
        inner.append(value)
    if last is None:
        return None
    return Found(last, "Gelu", _SMOOTH, (*(i for i in inner if i != last.outputs[0]), *halves))


def leaky_pair(graph: Graph, node: Node) -> Found | None:
    """Relu(x) -/+ a Relu(-x): the LeakyRelu and PRelu of exporters before opset 6."""
    if node.op_type != "Relu":
        return None
    after = _reader(graph, node.outputs[0], "Mul", "Sub", "Add")
    if after is None:
        return None
    inner = [node.outputs[0]]
    if after.op_type == "Mul":
        inner.append(after.outputs[0])
        after = _reader(graph, after.outputs[0], "Sub", "Add")
    if after is None or after.op_type == "Mul":
        return None
    other = graph.producer.get(_other(after, inner[-1]))
    if other is not None and other.op_type == "Mul":
        inner.append(other.outputs[0])
        other = next((p for n in other.inputs if (p := graph.producer.get(n)) and p.op_type == "Relu"), None)
    if other is None or other.op_type != "Relu" or other is node:
        return None
    if not _opposite(graph, node.inputs[0], other.inputs[0]):
        return None
    inner.append(other.outputs[0])
    return Found(after, "LeakyRelu", _SMOOTH, tuple(inner))


def _opposite(graph: Graph, a: str, b: str) -> bool:
    for one, two in ((a, b), (b, a)):
        producer = graph.producer.get(one)
        if producer is not None and producer.op_type == "Neg" and producer.inputs[0] == two:
            return True
        if producer is not None and producer.op_type == "Mul" and two in producer.inputs:
            return _scalar(graph, _other(producer, two)) == -1
    return False


def bounded(graph: Graph, node: Node) -> Found | None:
    """Max(x, c), Min(x, c), Where(·, x, c) against a stored number; Max(x, a x); a Max or Min of computed values.

    The last is bounded once one of the two is found constant, so it is looked at from the start.
    """
    if node.op_type in ("Max", "Min") and len(node.inputs) == 2:
        numbers = [_scalar(graph, n) for n in node.inputs]
        found = next((n for n in numbers if n is not None), None)
        if found is not None and None in numbers:
            low, high = (found, None) if node.op_type == "Max" else (None, found)
            return Found(node, node.op_type, Activation(Kind.RECTIFIER, low, high), ())
        for one, two in (node.inputs, node.inputs[::-1]):
            scaled = graph.producer.get(one)
            if scaled is not None and scaled.op_type == "Mul" and two in scaled.inputs and node.op_type == "Max":
                return Found(node, "LeakyRelu", _SMOOTH, (one,))
        if not any(name in graph.initializer_names or name in graph.static_values for name in node.inputs):
            return Found(node, node.op_type, Activation(Kind.RECTIFIER), ())
    if node.op_type == "Where":
        numbers = [_scalar(graph, n) for n in node.inputs[1:]]
        found = next((n for n in numbers if n is not None), None)
        if found is not None and None in numbers and graph.constant(node.inputs[0]) is None:
            low, high = _where_bounds(graph, node, numbers.index(None) == 0, found)
            return Found(node, "Where", Activation(Kind.RECTIFIER, low, high), ())
    return None


_COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def _where_bounds(graph: Graph, node: Node, passes: bool, other: float) -> tuple[float | None, float | None]:
    """Bounds of a Where that gives x or `other`, told by a comparison of x itself; `passes`: x goes with a true answer.

    x that goes through only above a threshold that is no lower than `other` never leaves it downwards; and so upwards.
    """
    asked = graph.producer.get(node.inputs[0])
    while asked is not None and asked.op_type == "Not":
        asked, passes = graph.producer.get(asked.inputs[0]), not passes
    computed = next(n for n in node.inputs[1:] if _scalar(graph, n) is None)
    if asked is None or asked.op_type not in _COMPARISONS or computed not in asked.inputs:
        return None, None
    threshold = _scalar(graph, _other(asked, computed))
    if threshold is None:
        return None, None
    above = asked.op_type.startswith("Greater") == (asked.inputs[0] == computed)
    if above == passes:
        return (other, None) if threshold >= other else (None, None)
    return (None, other) if threshold <= other else (None, None)


FINDERS: tuple[Callable[[Graph, Node], Found | None], ...] = (gated, relu6_gate, gelu, leaky_pair, bounded)


def find_decomposed(graph: Graph) -> list[Found]:
    """All decomposed activations of the graph, each once."""
    found: dict[int, Found] = {}
    for node in graph.nodes:
        for finder in FINDERS:
            if node.domain == "" and (hit := finder(graph, node)) is not None:
                found.setdefault(hit.node.index, hit)
    return list(found.values())
