"""Which values are audited, and along which axis their units lie: the axis comes from propagation, not from a guess."""

from __future__ import annotations

from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.ops.clip import ClipRule
from analyzer.ops.concat import ConcatRule
from analyzer.ops.context import Call, Context
from analyzer.ops.contraction import Contraction
from analyzer.ops.conv import ConvRule
from analyzer.ops.correspondence import Units
from analyzer.ops.fused_conv import FusedConvRule
from analyzer.ops.fused_gemm import FusedGemm
from analyzer.ops.move import MoveRule
from analyzer.ops.norm import LocalResponse, LpNorm, Normalised, PerChannel, Softmax
from analyzer.ops.operator import Activation
from analyzer.ops.quantize_linear import Linear
from analyzer.ops.unary import ACTIVATIONS, Unary, thresholded_relu
from analyzer.units.decomposed import find_decomposed
from analyzer.units.quantised import quantised_activation

_LINEAR = Activation(Kind.LINEAR)


def unit_axes(context: Context) -> dict[str, Units]:
    """The unit axes of every value, where some operator made units."""
    axes: dict[str, Units] = {}
    for call in context.calls:
        axes.update(call.axes.units(axes))
    return axes


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
        name = _label(call) if found is None else f"{found.name} (decomposed)" if found.inner else found.name
        activation = _activation(call) if found is None else found.activation
        quantised = quantised_activation(context, call, chosen) if activation is None else None
        if quantised is not None:
            _choose(chosen, context, node, quantised.name, quantised.activation, axes, quantised.zero)
        elif activation is not None:
            _choose(chosen, context, node, name, activation, axes)
    _add_linear(chosen, context, axes, inner)
    order = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    return tuple(sorted(chosen.values(), key=lambda a: order[a.value]))


def _label(call: Call) -> str:
    fused = call.op.attr("activation", "") if isinstance(call.rule, FusedConvRule | FusedGemm) else ""
    fused = fused.decode() if isinstance(fused, bytes) else fused
    return f"{call.op.op_type}+{fused}" if fused else call.op.op_type


def _activation(call: Call) -> Activation | None:
    if isinstance(call.rule, ClipRule):
        low, high = call.rule.bounds(call.op)
        finite = [None if abs(bound) > 1e30 else bound for bound in (low, high)]
        return Activation(Kind.RECTIFIER, *finite)
    if isinstance(call.rule, FusedConvRule | FusedGemm):
        name = call.op.attr("activation", "")
        name = name.decode() if isinstance(name, bytes) else name
        if name == "Clip":
            low, high = (*(call.op.attr("activation_params") or []), None, None)[:2]
            return Activation(Kind.RECTIFIER, low, high)
        return ACTIVATIONS[name][1] if name in ACTIVATIONS else None
    if call.op.op_type == "PRelu":
        return Activation(Kind.SMOOTH)
    if call.op.op_type == "ThresholdedRelu":
        return thresholded_relu(float(call.op.attr("alpha", 1.0)))
    return call.rule.activation


def _choose(
    chosen: dict[str, AuditedValue],
    context: Context,
    node: Node,
    op: str,
    activation: Activation,
    axes: dict[str, Units],
    zero: float = 0.0,
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
        value, node.name, op, activation.kind, axis, shape[axis], len(shape), activation.low, activation.high, zero=zero
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
    """Where no operator made the units: the axis that the first weight downstream reads, over same-unit operators."""
    rank, queue, seen = len(context.shapes[value]), [value], set()
    while queue:
        name = queue.pop(0)
        for node, position in context.graph.consumers.get(name, ()):
            call = context.by_node[node.index]
            if isinstance(call.rule, ConvRule):
                return 1
            if isinstance(call.rule, Contraction):
                return rank - 1
            if position == 0 and isinstance(call.rule, Unary) and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                queue.append(node.outputs[0])
    return 1 if rank >= 4 else rank - 1


_LINEAR_RULES = (ConvRule, PerChannel, Normalised)
_NOT_LINEAR = (Softmax, LocalResponse, LpNorm)
_THROUGH = (MoveRule, ConcatRule, PerChannel, Linear)


def _add_linear(chosen: dict[str, AuditedValue], context: Context, axes: dict[str, Units], inner: set[str]) -> None:
    """Outputs of weighted sums and normalisations that feed no activation, at the end of their affine chain."""
    for call in context.calls:
        rule = call.rule
        mixing = isinstance(rule, Contraction) and any(s is not None for s in call.op.statics[:4])
        affine = isinstance(rule, _LINEAR_RULES) and not isinstance(rule, _NOT_LINEAR)
        if call.barrier is not None or not (mixing or affine) or call.outputs[0] in context.graph.static_values:
            continue
        last = _end_of_chain(context, call)
        if last.outputs[0] in chosen or last.outputs[0] in inner:
            continue
        if not _reaches_activation(context, last.outputs[0], set(chosen) | inner):
            _choose(chosen, context, last.op.node, call.op.op_type, _LINEAR, axes)


def _end_of_chain(context: Context, call: Call) -> Call:
    """Over a stored bias, a scale or a BatchNormalization that alone reads the sum."""
    while True:
        readers = context.graph.consumers.get(call.outputs[0], ())
        if len(readers) != 1 or call.outputs[0] in context.outputs:
            return call
        after = context.by_node[readers[0][0].index]
        affine = after.barrier is None and (
            isinstance(after.rule, PerChannel)
            or (after.op.op_type in ("Add", "Sub", "Mul", "Div") and sum(s is None for s in after.op.statics) == 1)
        )
        if not affine:
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
        if isinstance(call.rule, _THROUGH) and any(_reaches_activation(context, o, audited) for o in node.outputs):
            return True
    return False
