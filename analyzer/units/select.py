"""Which values are audited, and along which axis their units lie: the axis comes from propagation, not from a guess."""

from __future__ import annotations

import numpy as np

from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.ops.context import Call, Context
from analyzer.ops.correspondence import Units
from analyzer.ops.joined_units import joined_units
from analyzer.ops.operator import Activation
from analyzer.ops.shared_context import context_of
from analyzer.units.decomposed import find_decomposed
from analyzer.units.decomposed_norms import decomposed_norms
from analyzer.units.module_names import with_modules
from analyzer.units.quantised import clipped_by_rounding, enters_activation

_LINEAR = Activation(Kind.LINEAR)
#: How many same-unit operators lie before a sum, and the axes it runs over.
Summed = tuple[int, tuple[int, ...]]


def unit_axes(context: Context) -> dict[str, Units]:
    """The unit axes of every value, where some operator made units."""
    axes: dict[str, Units] = {}
    for call in context.calls:
        axes.update(call.axes.units(axes))
    return axes


def _laid_apart(context: Context, axes: dict[str, Units]) -> set[str]:
    """Values along several axes of which a movement laid the units of one."""
    apart: set[str] = set()
    for call in context.calls:
        before = max((len(axes.get(name) or ()) for name in call.inputs), default=0)
        grown = {name for name in call.outputs if call.rule.moves and len(axes.get(name) or ()) > before}
        if not apart.isdisjoint(call.inputs):
            grown |= {name for name, made in call.axes.units({}).items() if not made}
        apart |= grown
    return apart


@np.errstate(all="ignore")  # weights may be anything, as in the walk
def select_units(graph: Graph, shapes: ShapeTable) -> tuple[AuditedValue, ...]:
    """The audited values of a graph in topological order."""
    context = context_of(graph, shapes)
    axes = unit_axes(context)
    summed = _summed_downstream(context, axes)
    decomposed = {f.node.index: f for f in find_decomposed(graph)}
    inner = {name for f in decomposed.values() for name in f.inner}
    chosen: dict[str, AuditedValue] = {}
    for call in context.calls:
        node = call.op.node
        value = _shown(context, call)
        if not value or value in inner or value in graph.static_values:
            continue
        found = decomposed.get(node.index)
        if found is not None:
            name = f"{found.name} (decomposed)" if found.inner else found.name
            _choose(chosen, context, node, value, name, found.activation, axes, summed)
            continue
        activation = call.rule.activation(call.op)
        if activation is not None:
            if activation.kind is not Kind.LINEAR or not enters_activation(context, call.outputs[0]):
                name = f"{call.op.op_type}+{activation.fused}" if activation.fused else call.op.op_type
                _choose(chosen, context, node, value, name, activation, axes, summed)
            continue
        clipped = clipped_by_rounding(context, call, chosen)
        if clipped is not None:
            _choose(chosen, context, node, value, clipped[0], clipped[1], axes, summed)
    _add_linear(chosen, context, axes, summed, inner)
    order = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    return with_modules(context, sorted(chosen.values(), key=lambda a: order[a.value]))


def _shown(context: Context, call: Call) -> str:
    """The value in which the units of a call are audited: those along two axes where movements put them on one."""
    if not call.outputs:
        return ""
    joined = joined_units(context, call)
    return call.outputs[0] if joined is None else joined.value


def _choose(
    chosen: dict[str, AuditedValue],
    context: Context,
    node: Node,
    value: str,
    op: str,
    activation: Activation,
    axes: dict[str, Units],
    summed: dict[str, Summed],
) -> None:
    shape = context.shapes.get(value)
    dtype = context.graph.types[value].dtype if value in context.graph.types else None
    if shape is None or not shape or 0 in shape or (dtype is not None and dtype.kind in "bSUO"):
        return
    axis = _unit_axis(context, value, axes.get(value), summed)
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


def _unit_axis(context: Context, value: str, found: Units, summed: dict[str, Summed]) -> int:
    """The unit axis. Where nothing made units: what is summed, channels, the last axis.

    Of several, the last: within a head, of `btd,hdf->bthf`. Where a movement laid units of one axis along several
    (groups of channels), the last of those that are summed.
    """
    sample = context.sample_axis(value).axis
    usable = sorted(a for a in found or () if a != sample)
    axes = summed[value][1] if value in summed else ()
    if usable:
        return max(set(usable).intersection(axes), default=usable[-1])
    rank = len(context.shapes[value])
    return axes[0] if axes else 1 if rank >= 4 else rank - 1


def _summed_downstream(context: Context, axes: dict[str, Units]) -> dict[str, Summed]:
    """The nearest sum downstream of each value, but for values whose units were made along several axes."""
    nearest: dict[str, Summed] = {}
    for call in reversed(context.calls):
        after = nearest.get(call.op.node.outputs[0])
        for position, name in reversed(list(enumerate(call.op.node.inputs))):
            over = call.rule.summed_axes(call.op, position)
            way = (0, over) if over else None
            if not over and position == 0 and call.rule.same_unit and after is not None:
                way = (after[0] + 1, after[1])
            if way is not None and (name not in nearest or way[0] <= nearest[name][0]):  # of equals the first reader's
                nearest[name] = way
    apart = _laid_apart(context, axes)
    return {name: way for name, way in nearest.items() if len(axes.get(name) or ()) < 2 or name in apart}


def _add_linear(
    chosen: dict[str, AuditedValue],
    context: Context,
    axes: dict[str, Units],
    summed: dict[str, Summed],
    inner: set[str],
) -> None:
    """Outputs of weighted sums and normalisations that feed no activation, at the end of their affine chain."""
    entering, written = _entering_activations(context, set(chosen) | inner), decomposed_norms(context).by_normalised
    for call in context.calls:
        total, norm = call.rule.weighted_sum(call.op), call.rule.normalisation(call.op)
        found = written.get(call.outputs[0]) if call.outputs else None
        if (total is None and norm is None and found is None) or call.outputs[0] in context.graph.static_values:
            continue
        last = _end_of_chain(context, call if found is None else context.by_node[found.last.index])
        if last.outputs[0] in chosen or last.outputs[0] in inner:
            continue
        if last.outputs[0] not in entering:
            name = call.op.op_type if found is None else f"{found.name} (decomposed)"
            _choose(chosen, context, last.op.node, last.outputs[0], name, _LINEAR, axes, summed)


def _normalises_units(call: Call) -> bool:
    norm = call.rule.normalisation(call.op)
    return norm is not None and norm.alone


def _end_of_chain(context: Context, call: Call) -> Call:
    """Over a bias, a scale or a BatchNormalization that alone reads the sum; a scale may be computed."""
    while True:
        readers = context.graph.consumers.get(call.outputs[0], ())
        if len(readers) != 1 or call.outputs[0] in context.outputs:
            return call
        after = context.by_node[readers[0][0].index]
        affine = after.rule.affine(after.op)
        shifts = affine is not None and len(affine.factors) == 1 and not affine.integers and not affine.passes
        if not shifts and not _normalises_units(after) and not _rescales(after, call.outputs[0]):
            return call
        call = after


def _rescales(call: Call, value: str) -> bool:
    """Whether a sum of integers becomes floats, or meets scales computed at run time: one for all, or per column."""
    affine, op = call.rule.affine(call.op), call.op
    if affine is not None and affine.passes:
        return "int" in (op.x_dtype or "") and "float" in (op.y_dtype or "")
    if not call.rule.aligned:
        return False
    ranks = [len(op.x_shape(position)) for position, name in enumerate(op.inputs) if name != value]
    return max(ranks, default=2) < 2 <= len(op.y_shape())


def _entering_activations(context: Context, audited: set[str]) -> set[str]:
    """Values that an audited activation reads, directly or over movements and quantisation."""
    entering: set[str] = set()
    for call in reversed(context.calls):
        read = not audited.isdisjoint(call.outputs)
        if read or (not entering.isdisjoint(call.outputs) and _passes_on(call)):
            entering.update(call.inputs)
    return entering


def _passes_on(call: Call) -> bool:
    affine = call.rule.affine(call.op)
    rescaled = affine is not None and affine.integers and len(affine.factors) == 1
    return rescaled or call.rule.moves or _normalises_units(call)
