"""Which values to check so that a NaN anywhere is noticed, without reading every activation twice.

onnxruntime's maxima drop NaN, and a check of its own for each activation costs as much as the maximum does. But a
NaN in one activation reaches the next through operators that carry it: it is enough to check where it would get lost
(before a maximum pool, an operator that does not say that it carries NaN) and at the end.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import prod

from analyzer.bounds.magnitudes import magnitudes
from analyzer.facts.units import Kind, SampleAxis, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.observe.pooling import lengths_are_fixed
from analyzer.observe.targets import Target, elements
from analyzer.observe.windows import sees_every_position
from analyzer.ops.operator import rule_for, traits_of


@dataclass(frozen=True, slots=True)
class Guards:
    """The targets to check, so that a NaN in any target shows in one of them or in a flat target.

    Targets whose outputs have no bound below are also covered for minus infinity (a maximum shows plus infinity by
    itself), except linear ones. `beyond` are those to check from a feed on that is not `within` bounds; None where
    `targets` do for every feed.
    """

    targets: Sequence[Target]
    beyond: Sequence[Target] | None = None


def guards(
    graph: Graph, targets: Sequence[Target], shapes: ShapeTable, looked: Sequence[Target] | None = None
) -> Guards:
    """What to check; what cannot overflow is left out where that saves more than looking at each feed costs.

    `looked`: the targets whose maxima are looked at (None: all). Others show nothing by themselves.
    """
    fixed = lengths_are_fixed(graph, shapes)
    starts = {t.start for t in (targets if looked is None else looked)}
    every = _guards(graph, targets, shapes, fixed, set(), starts)
    if not every:
        return Guards(every)
    fewer = _guards(graph, targets, shapes, fixed, set(magnitudes(graph, [t.audited.value for t in every])), starts)
    fed = sum(prod(shapes.shapes.get(name, ())) for name in graph.inputs) / max(1, shapes.samples)
    spares = elements(every) > elements(fewer) + fed
    return Guards(fewer, every) if spares else Guards(every)


def _guards(
    graph: Graph, targets: Sequence[Target], shapes: ShapeTable, fixed: bool, finite: set[str], looked: set[int]
) -> list[Target]:
    by_name = {t.audited.value: t for t in targets}
    nan = finite | {t.audited.value for t in targets if t.flat and t.start in looked}
    infinity = set(nan)
    chosen: list[Target] = []
    for node in reversed(graph.nodes):
        for name in filter(None, node.outputs):
            for shown in (nan, infinity):
                if name not in shown and _parts_show(name, graph, shapes, fixed, shown):
                    shown.add(name)
            target = by_name.get(name)
            if target is None or name in (infinity if _hides_infinity(target, target.start in looked) else nan):
                continue
            chosen.append(target)
            nan.add(name)
            infinity.add(name)
        traits = traits_of(node)
        if node.outputs and node.outputs[0] in nan:
            nan.update(carriers(node, traits.carries_nan, shapes, fixed))
        if node.outputs and node.outputs[0] in infinity:
            infinity.update(carriers(node, traits.carries_infinity, shapes, fixed))
    return chosen


def _parts_show(name: str, graph: Graph, shapes: ShapeTable, fixed: bool, shown: set[str]) -> bool:
    """Whether a value is cut into parts, all of which show what is in them: queries, keys and values of attention."""
    picked: dict[int, set[int]] = {}
    shape, samples = shapes.shapes.get(name), shapes.sample_axes.get(name, SampleAxis(None)).axis
    for node, position in graph.consumers.get(name, ()):
        if position or shape is None:
            continue
        if traits_of(node).keeps_elements and shown.issuperset(node.outputs):
            return True
        numbers = [graph.constant(n) for n in node.inputs[1:] if n in graph.static_values]
        if fixed and node.outputs[0] in shown and len(numbers) == len(node.inputs) - 1:
            stored = [array for array in numbers if array is not None]
            taken = rule_for(node.domain, node.op_type).taken(node, shape, stored)
            if taken is not None and (not shapes.batchable or samples not in (None, taken[0])):
                picked.setdefault(taken[0], set()).update(taken[1].tolist())  # what mixes samples has more in a feed
    return shape is not None and any(len(indices) == shape[axis] for axis, indices in picked.items())


def _hides_infinity(target: Target, looked: bool) -> bool:
    """Whether an infinity in it would be missed: a maximum shows plus infinity, and linear values are let off.

    But for flat ones, which show everything while they are looked at.
    """
    audited = target.audited
    if audited.kind is Kind.LINEAR:
        return target.flat and not looked
    if audited.kind is Kind.RECTIFIER:
        return audited.low is None or (audited.high is None and not looked)
    return audited.kind is Kind.SMOOTH


def carriers(node: Node, positions: Container[int], shapes: ShapeTable, fixed: bool) -> list[str]:
    """The inputs at these positions, where no window may miss a place; `fixed`: all feeds have the same lengths."""
    if traits_of(node).slides and not (fixed and sees_every_position(node, shapes)):
        return []
    return [name for place, name in enumerate(node.inputs) if name and place in positions]
