"""Expressions such as `Mul(x, Sigmoid(x))`, and where a graph computes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from analyzer.graph import Graph, Node
from analyzer.ops.forms import ATTRIBUTES, COMMUTATIVE

_TOKEN = re.compile(r"[A-Za-z]\w*|#\w+|-?\d[\d.e-]*|[(),|]")
_CLOSE = 1e-3  # relative: a sixth is written to a few digits, or in half precision


@dataclass(frozen=True, slots=True)
class Expression:
    """An operator over operands, each of which may be written in several ways; or a number; or the name of a value."""

    text: str
    operands: tuple[tuple[Expression, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """Which values and numbers the names stand for, and the nodes of the operators, the outermost first."""

    values: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()


def parse(text: str) -> tuple[Expression, ...]:
    """The ways of writing that `|` separates."""
    tokens = _TOKEN.findall(text)[::-1]

    def ways() -> tuple[Expression, ...]:
        found = [expression()]
        while tokens and tokens[-1] == "|":
            tokens.pop()
            found.append(expression())
        return tuple(found)

    def expression() -> Expression:
        name, operands = tokens.pop(), []
        if tokens and tokens[-1] == "(":
            while tokens.pop() != ")":  # the opening bracket, then commas
                operands.append(ways())
        return Expression(name, tuple(operands))

    return ways()


def matches(graph: Graph, ways: tuple[Expression, ...], value: str, so_far: Match | None = None) -> Iterator[Match]:
    """Every way in which a value is one of these expressions."""
    before = so_far or Match()
    for way in ways:
        if way.operands:
            node = graph.producer.get(value)
            if node is not None and node.op_type == way.text and not node.domain:
                yield from _operands(graph, way, node, replace(before, nodes=(*before.nodes, node)))
        elif way.text[0].isalpha():
            if before.values.get(way.text, value) == value:
                yield replace(before, values={**before.values, way.text: value})
        elif (number := _number(graph, value)) is not None:
            yield from _numbers(way, number, before)


def _operands(graph: Graph, way: Expression, node: Node, before: Match) -> Iterator[Match]:
    orders = [way.operands]
    if way.text in COMMUTATIVE and len(way.operands) == len(node.inputs) == 2:
        orders.append(way.operands[::-1])
    for operands in orders:
        found = [before]
        for position, ways in enumerate(operands):
            found = [later for match in found for later in _operand(graph, node, position, ways, match)]
        yield from found


def _operand(graph: Graph, node: Node, position: int, ways: tuple[Expression, ...], before: Match) -> Iterator[Match]:
    if position < len(node.inputs) and node.inputs[position]:
        yield from matches(graph, ways, node.inputs[position], before)
        return
    stated = node.attr(ATTRIBUTES[node.op_type][position]) if node.op_type in ATTRIBUTES else None
    if stated is not None:
        yield from _numbers(ways[0], float(stated), before)


def _numbers(way: Expression, number: float, before: Match) -> Iterator[Match]:
    if way.text[0] == "#":
        yield replace(before, numbers={**before.numbers, way.text[1:]: number})
    elif math.isclose(number, float(way.text), rel_tol=_CLOSE):
        yield before


def _number(graph: Graph, name: str) -> float | None:
    array = graph.constant(name)
    return float(np.ravel(array)[0]) if array is not None and array.size == 1 else None
