"""A rectifier in front of a MaxPool shows its maximum behind it, where there is less to read."""

from __future__ import annotations

from analyzer.facts.units import AuditedValue, Kind, ShapeTable
from analyzer.graph import Graph
from analyzer.observe.windows import sees_every_position
from analyzer.shapes.free_dims import free_axes

#: Operators that give as much as they find.
_COUNTING = frozenset(
    ("NonZero", "Compress", "Unique", "NonMaxSuppression", "Loop", "Scan", "If", "Range", "ConstantOfShape",
     "SequenceAt", "SplitToSequence", "StringSplit")
)  # fmt: skip
#: Inputs that spell out lengths, by operator.
_LENGTHS = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Slice": (1, 2, 3, 4), "Pad": (1, 3), "Resize": (1, 2, 3),
    "Upsample": (1,), "TopK": (1,), "Split": (1,), "OneHot": (1,), "MaxUnpool": (2,), "CenterCropPad": (1,),
    "GridSample": (1,), "AffineGrid": (1,), "Squeeze": (1,), "Unsqueeze": (1,),
}  # fmt: skip


def pooled_maximum(graph: Graph, shapes: ShapeTable, audited: AuditedValue) -> str | None:
    """Name of the MaxPool output that has the same maximum per sample and channel; None where there is none.

    Every position has to lie in some window; that is told from one run, so it holds where `lengths_are_fixed`.
    Where the lower bound of the activation is known, a window is never without a finite value.
    """
    if audited.kind is not Kind.RECTIFIER or audited.low is None or audited.axis != 1:
        return None
    for node, _ in graph.consumers.get(audited.value, ()):
        alike = shapes.dtypes.get(audited.value) == shapes.dtypes.get(node.outputs[0])
        if node.op_type == "MaxPool" and not node.domain and alike and sees_every_position(node, shapes):
            return node.outputs[0]
    return None


def lengths_are_fixed(graph: Graph, shapes: ShapeTable) -> bool:
    """Whether every feed gives every value the same lengths, but for the number of samples."""
    stated = all(declared.shape is not None for declared in graph.inputs.values())
    return stated and not free_axes(graph.inputs, shapes) and not lengths_follow_values(graph)


def lengths_follow_values(graph: Graph) -> bool:
    """Whether what a run is fed, not only its shape, may decide how long some value is."""
    computed = {*graph.inputs, *graph.defaults}
    for node in graph.nodes:
        given = [i for i, name in enumerate(node.inputs) if name in computed]
        if given and (node.op_type in _COUNTING or node.domain or node.captured):
            return True
        if any(i in _LENGTHS.get(node.op_type, ()) for i in given):
            return True
        if given and node.op_type not in ("Shape", "Size"):
            computed.update(node.outputs)
    return False
