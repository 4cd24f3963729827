"""Activations that exporters write as several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.graph import Graph, Node
from analyzer.graph.view import once_per_graph
from analyzer.ops.forms import FORMS, Form
from analyzer.ops.operator import Activation
from analyzer.units.expressions import Match, matches, parse

_FORMS = tuple((form, parse(form.written)) for form in FORMS)
#: By the operator that comes last: activations that may be written so.
_ENDING = {
    op: tuple((form, fits) for form, ways in _FORMS if (fits := tuple(way for way in ways if way.text == op)))
    for op in {way.text for _, ways in _FORMS for way in ways}
}


@dataclass(frozen=True, slots=True)
class Decomposed:
    """The last node of an activation, what it is, the value that enters it, and the values in between."""

    node: Node
    name: str
    activation: Activation
    enters: str
    inner: tuple[str, ...]


@once_per_graph
def find_decomposed(graph: Graph) -> Sequence[Decomposed]:
    """All decomposed activations of the graph, the last first; none is a part of another."""
    found: list[Decomposed] = []
    inside: set[str] = set()
    for node in reversed(graph.nodes):
        if node.domain == "" and node.op_type in _ENDING and node.outputs and node.outputs[0] not in inside:
            hit = _activation_at(graph, node)
            if hit is not None:
                found.append(hit)
                inside.update(hit.inner)
    return found


def _activation_at(graph: Graph, node: Node) -> Decomposed | None:
    for form, ways in _ENDING[node.op_type]:
        for match in matches(graph, ways, node.outputs[0]):
            if not form.hides or _alone(graph, match):
                return _found(form, match)
    return None


def _found(form: Form, match: Match) -> Decomposed:
    last, *before = match.nodes
    activation = form.activation(match.numbers) if callable(form.activation) else form.activation
    inner = tuple(node.outputs[0] for node in before) if form.hides else ()
    return Decomposed(last, form.name, activation, match.values["x"], inner)


def _alone(graph: Graph, match: Match) -> bool:
    """Whether nothing else reads the values in between."""
    nodes = {node.index for node in match.nodes}
    inner = [node.outputs[0] for node in match.nodes[1:]]
    readers = {reader.index for name in inner for reader, _ in graph.consumers.get(name, ())}
    return readers <= nodes and not set(inner) & set(graph.outputs)
