"""Normalisations that exporters write as several nodes, as before ONNX had operators for them (opset 17 and 23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.graph import Graph, Node
from analyzer.graph.view import once_per_graph
from analyzer.ops.affine import Affine
from analyzer.ops.context import Call, Context
from analyzer.ops.forms import CENTRED, NORMALISATIONS, NORMALISED
from analyzer.units.expressions import Match, matches, parse

_NORMALISED, _CENTRED = parse(NORMALISED), parse(CENTRED)
_ENDING = {way.text for way in _NORMALISED}


@dataclass(frozen=True, slots=True)
class DecomposedNorm:
    """A normalisation over the last axis, without and with what it learned; nothing else reads the values in between.

    `scale` and `shift` are nodes and the positions at which they read stored numbers, per channel; `last` gives the
    result. `inner` are the nodes before `normalised`. `centred`: the mean is taken off before.
    """

    enters: str
    normalised: Node
    last: Node
    inner: tuple[Node, ...]
    epsilon: float
    centred: bool
    scale: tuple[Node, int] | None = None
    shift: tuple[Node, int] | None = None

    @property
    def name(self) -> str:
        """What ONNX calls it."""
        return NORMALISATIONS[self.centred]


@dataclass(frozen=True, slots=True)
class DecomposedNorms:
    """Those of a graph, by the value that comes out, normalised alone, and by the nodes that they are made of."""

    by_result: Mapping[str, DecomposedNorm]
    by_normalised: Mapping[str, DecomposedNorm]
    by_node: Mapping[int, DecomposedNorm]


def decomposed_norms(context: Context) -> DecomposedNorms:
    """Those of the graph that normalise over the last axis alone."""
    found = [norm for match in _candidates(context.graph) if (norm := _norm(context, match)) is not None]
    inner = {node.index: norm for norm in found for node in norm.inner}
    results = {norm.last.outputs[0]: norm for norm in found}
    return DecomposedNorms(results, {norm.normalised.outputs[0]: norm for norm in found}, inner)


@once_per_graph
def _candidates(graph: Graph) -> list[tuple[Match, bool]]:
    """What is written like a normalisation, over whatever axes, and whether it is centred."""
    found = []
    for node in graph.nodes:
        if node.domain or node.op_type not in _ENDING or not node.outputs:
            continue
        for match in matches(graph, _NORMALISED, node.outputs[0]):
            centred = next(matches(graph, _CENTRED, match.values["d"]), None)
            nodes = match.nodes if centred is None else (*match.nodes, *centred.nodes)
            enters = match.values["d"] if centred is None else centred.values["x"]
            if _alone(graph, nodes):
                found.append((Match({"x": enters}, match.numbers, nodes), centred is not None))
                break
    return found


def _alone(graph: Graph, nodes: tuple[Node, ...]) -> bool:
    inner = {name for node in nodes[1:] for name in node.outputs}
    readers = {reader.index for name in inner for reader, _ in graph.consumers.get(name, ())}
    return readers <= {node.index for node in nodes} and inner.isdisjoint(graph.outputs)


def _norm(context: Context, candidate: tuple[Match, bool]) -> DecomposedNorm | None:
    match, centred = candidate
    shape, last = context.shapes.get(match.values["x"]), match.nodes[0]
    calls = [context.by_node[node.index] for node in match.nodes]
    width = shape[-1] if shape else 1
    if shape is None or width == 1 or any(call.barrier is not None for call in calls):
        return None
    if any(axis != len(shape) - 1 for call in calls for _, axis in call.whole):
        return None
    means = [y for call in calls if prod(y := call.op.y_shape()) < prod(call.op.x_shape())]
    if means != [(*shape[:-1], 1)] * (1 + centred):
        return None
    stored: dict[str, tuple[Node, int]] = {}
    for name, joins in (("scale", _scales), ("shift", _shifts)):
        reader = _only_reader(context, last)
        affine = None if reader is None or reader.barrier is not None else reader.rule.affine(reader.op)
        position = None if reader is None or affine is None else _stored(reader, joins(affine), width)
        if reader is None or position is None:
            break
        stored[name], last = (reader.op.node, position), reader.op.node
    enters, epsilon = match.values["x"], match.numbers["e"]
    return DecomposedNorm(enters, match.nodes[0], last, match.nodes[1:], epsilon, centred, **stored)


def _only_reader(context: Context, node: Node) -> Call | None:
    """The only reader of a node's output, over casts, as halves are normalised in single precision."""
    while True:
        readers = context.graph.consumers.get(node.outputs[0], ())
        if len(readers) != 1 or readers[0][1] < 0 or node.outputs[0] in context.outputs:
            return None
        node = readers[0][0]
        call = context.by_node[node.index]
        affine = None if call.barrier is not None else call.rule.affine(call.op)
        if affine is None or not affine.passes:
            return call


def _scales(affine: Affine) -> Array | None:
    """What one value is multiplied with, where that is all."""
    factor, *others = affine.factors.values()
    return None if others or affine.shift.any() or affine.integers else factor


def _shifts(affine: Affine) -> Array | None:
    factor, *others = affine.factors.values()
    return None if others or not (factor == 1).all() or affine.integers else affine.shift


def _stored(call: Call, numbers: Array | None, width: int) -> int | None:
    """The position of the operand that holds these numbers, one per channel."""
    flat = None if numbers is None else numbers.reshape(-1)
    for position, array in enumerate(call.op.statics):
        if flat is not None and array is not None and array.shape == (width,) and np.array_equal(array, flat):
            return position
    return None
