"""Which values are audited, and along which axis their units lie: the axis comes from propagation, not from a guess."""

from __future__ import annotations

import numpy as np

from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.ops.context import Call, Context
from analyzer.ops.correspondence import Units
from analyzer.ops.operator import Activation
from analyzer.units.decomposed import find_decomposed
from analyzer.units.quantised import clipped_by_rounding, enters_activation

_LINEAR = Activation(Kind.LINEAR)


def unit_axes(context: Context) -> dict[str, Units]:
    """The unit axes of every value, where some operator made units."""
    axes: dict[str, Units] = {}
    for call in context.calls:
        axes.update(call.axes.units(axes))
    return axes


@np.errstate(all="ignore")  # weights may be anything, as in the walk
def select_units(graph: Graph, shapes: ShapeTable) -> tuple[AuditedValue, ...]:
    """The audited values of a graph in topological order."""
    context = Context(graph, shapes)
    axes = unit_axes(context)
    decomposed = {f.node.index: f for f in find_decomposed(graph)}
    inner = {name for f in decomposed.values() for name in f.inner}
    chosen: dict[str, AuditedValue] = {}
    for call in context.calls:
        node = call.op.node
        if not call.outputs or call.outputs[0] in inner or call.outputs[0] in graph.static_values:
            continue
        found = decomposed.get(node.index)
        if found is not None:
            name = f"{found.name} (decomposed)" if found.inner else found.name
            _choose(chosen, context, node, name, found.activation, axes)
            continue
        activation = call.rule.activation(call.op)
        if activation is not None:
            if activation.kind is not Kind.LINEAR or not enters_activation(context, call.outputs[0]):
                name = f"{call.op.op_type}+{activation.fused}" if activation.fused else call.op.op_type
                _choose(chosen, context, node, name, activation, axes)
            continue
        clipped = clipped_by_rounding(context, call, chosen)
        if clipped is not None:
            _choose(chosen, context, node, clipped[0], clipped[1], axes)
    _add_linear(chosen, context, axes, inner)
    order = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    return tuple(sorted(chosen.values(), key=lambda a: order[a.value]))


def _choose(
    chosen: dict[str, AuditedValue],
    context: Context,
    node: Node,
    op: str,
    activation: Activation,
    axes: dict[str, Units],
) -> None:
    value = node.outputs[0]
    shape = context.shapes.get(value)
    dtype = context.graph.types[value].dtype if value in context.graph.types else None
    if shape is None or not shape or 0 in shape or (dtype is not None and dtype.kind in "bSUO"):
        return
    axis = _unit_axis(context, value, axes.get(value))
    if activation.kind is Kind.LINEAR and not axes.get(value):
        return
    if _is_seen_to_change(context, value, axis):  # steps of a length that the inputs leave free
        return
    chosen[value] = AuditedValue(
        value,
        node.name,
        op,
        activation.kind,
        axis,
        shape[axis],
        len(shape),
        activation.low,
        activation.high,
        zero=activation.zero,
        curve=activation.curve,
    )


def _is_seen_to_change(context: Context, value: str, axis: int) -> bool:
    """Whether another run showed another length; a length that is only doubted is taken as it is."""
    rank = len(context.shapes[value])
    others = [shapes[value] for shapes in context.table.resized if len(shapes.get(value, ())) == rank]
    return any(other[axis] != context.shapes[value][axis] for other in others)


def _unit_axis(context: Context, value: str, found: Units) -> int:
    """The unit axis; of several, the last. Where nothing made units: channels of maps, else the last axis."""
    sample = context.sample_axis(value).axis
    usable = sorted(a for a in found or () if a != sample)
    if usable:
        return usable[-1]
    return _asked_axis(context, value)


def _asked_axis(context: Context, value: str) -> int:
    """Where no operator made the units: the axis that the first sum downstream runs over, over same-unit operators."""
    rank, queue, seen = len(context.shapes[value]), [value], set()
    while queue:
        name = queue.pop(0)
        for node, position in context.graph.consumers.get(name, ()):
            call = context.by_node[node.index]
            summed = call.rule.summed_axis(call.op, position)
            if summed is not None:
                return summed
            if position == 0 and call.rule.same_unit and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                queue.append(node.outputs[0])
    return 1 if rank >= 4 else rank - 1


def _add_linear(chosen: dict[str, AuditedValue], context: Context, axes: dict[str, Units], inner: set[str]) -> None:
    """Outputs of weighted sums and normalisations that feed no activation, at the end of their affine chain."""
    for call in context.calls:
        total, norm = call.rule.weighted_sum(call.op), call.rule.normalisation(call.op)
        if (total is None and norm is None) or call.outputs[0] in context.graph.static_values:
            continue
        last = _end_of_chain(context, call)
        if last.outputs[0] in chosen or last.outputs[0] in inner:
            continue
        if not _reaches_activation(context, last.outputs[0], set(chosen) | inner):
            _choose(chosen, context, last.op.node, call.op.op_type, _LINEAR, axes)


def _normalises_units(call: Call) -> bool:
    norm = call.rule.normalisation(call.op)
    return norm is not None and norm.alone


def _end_of_chain(context: Context, call: Call) -> Call:
    """Over a stored bias, a scale or a BatchNormalization that alone reads the sum."""
    while True:
        readers = context.graph.consumers.get(call.outputs[0], ())
        if len(readers) != 1 or call.outputs[0] in context.outputs:
            return call
        after = context.by_node[readers[0][0].index]
        affine = after.rule.affine(after.op)
        shifts = affine is not None and len(affine.factors) == 1 and not affine.integers and not affine.passes
        if not shifts and not _normalises_units(after):
            return call
        call = after


def _reaches_activation(context: Context, value: str, audited: set[str]) -> bool:
    """Whether an audited activation reads the value, directly or over movements and quantisation."""
    if value in audited:
        return True
    for node, _ in context.graph.consumers.get(value, ()):
        call = context.by_node[node.index]
        if any(o in audited for o in node.outputs):
            return True
        affine = call.rule.affine(call.op)
        rescaled = affine is not None and affine.integers and len(affine.factors) == 1
        through = rescaled or call.rule.moves or _normalises_units(call)
        if through and any(_reaches_activation(context, o, audited) for o in node.outputs):
            return True
    return False
