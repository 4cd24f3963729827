"""Which values to check so that a NaN anywhere is noticed, without reading every activation twice.

onnxruntime's maxima drop NaN, and a check of its own for each activation costs as much as the maximum does. But a
NaN in one activation reaches the next through most operators: it is enough to check where it would get lost (before
a MaxPool, an ArgMax, an operator not listed here) and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from analyzer.facts.units import Kind, SampleAxis, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.observe.magnitudes import magnitudes
from analyzer.observe.pooling import lengths_are_fixed
from analyzer.observe.targets import Target, elements
from analyzer.observe.windows import sees_every_position

# Operators whose output has a NaN where an input (all, or those listed below) has a NaN. Most are arithmetic; the
# others were tried with onnxruntime's CPU kernels, fused behind a Conv too, and a test tries them again.
ARITHMETIC = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sum",
        "Neg",
        "Abs",
        "Identity",
        "LeakyRelu",
        "PRelu",
        "Gelu",
        "HardSwish",
        "Mish",
        "Swish",
        "Floor",
        "Sqrt",
        "BatchNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "GroupNormalization",
        "LRN",
        "GlobalAveragePool",
        "ReduceMean",
        "ReduceSum",
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Concat",
        "Gemm",
        "MatMul",
        "Dropout",
        "com.microsoft::Gelu",
        "com.microsoft::FastGelu",
        "com.microsoft::BiasGelu",
        "com.microsoft::FusedMatMul",
    ]
)
BOUNDED = frozenset(
    [
        "Relu",
        "Clip",
        "Sigmoid",
        "Tanh",
        "Elu",
        "Selu",
        "Celu",
        "HardSigmoid",
        "Softplus",
        "Softsign",
        "Softmax",
        "LogSoftmax",
        "Exp",
        "Erf",
    ]
)
WINDOWED = frozenset(["Conv", "AveragePool"])
FIRST_INPUT_ONLY = frozenset(
    ["Clip", "PRelu", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "Reshape", "Dropout", "Div"]
)


@dataclass(frozen=True, slots=True)
class Guards:
    """The targets to check, so that a NaN in any target shows in one of them or in a flat target.

    Targets whose outputs have no bound below are also covered for minus infinity (a maximum shows plus infinity by
    itself), except linear ones. `beyond` are those to check from a feed on that is not `within` bounds; None where
    `targets` do for every feed.
    """

    targets: Sequence[Target]
    beyond: Sequence[Target] | None = None


def guards(graph: Graph, targets: Sequence[Target], shapes: ShapeTable) -> Guards:
    """What to check; what cannot overflow is left out where that saves more than looking at each feed costs."""
    fixed = lengths_are_fixed(graph, shapes)
    every = _guards(graph, targets, shapes, fixed, set())
    if not every:
        return Guards(every)
    fewer = _guards(graph, targets, shapes, fixed, set(magnitudes(graph, [t.audited.value for t in every])))
    fed = sum(prod(shapes.shapes.get(name, ())) for name in graph.inputs) / max(1, shapes.samples)
    spares = elements(every) > elements(fewer) + fed
    return Guards(fewer, every) if spares else Guards(every)


def _guards(graph: Graph, targets: Sequence[Target], shapes: ShapeTable, fixed: bool, finite: set[str]) -> list[Target]:
    by_name = {t.audited.value: t for t in targets}
    nan = finite | {t.audited.value for t in targets if t.flat}
    infinity = set(nan)
    chosen: list[Target] = []
    for node in reversed(graph.nodes):
        for name in filter(None, node.outputs):
            for shown in (nan, infinity):
                if name not in shown and _parts_show(name, graph, shapes, fixed, shown):
                    shown.add(name)
            target = by_name.get(name)
            if target is None or name in (infinity if _unbounded(target) else nan):
                continue
            chosen.append(target)
            nan.add(name)
            infinity.add(name)
        inputs = carriers(node, shapes, fixed)
        if node.outputs and node.outputs[0] in nan:
            nan.update(filter(None, inputs))
        if node.outputs and node.outputs[0] in infinity and node.qualified_type not in BOUNDED:
            infinity.update(filter(None, inputs))
    return chosen


def _parts_show(name: str, graph: Graph, shapes: ShapeTable, fixed: bool, shown: set[str]) -> bool:
    """Whether a value is cut into parts, all of which show what is in them: queries, keys and values of attention."""
    picked: dict[int, set[int]] = {}
    shape, samples = shapes.shapes.get(name), shapes.sample_axes.get(name, SampleAxis(None)).axis
    for node, position in graph.consumers.get(name, ()):
        if node.domain or position or shape is None:
            continue
        if node.op_type == "Split" and shown.issuperset(node.outputs):
            return True
        if node.op_type == "Gather" and node.outputs[0] in shown and node.inputs[1] in graph.static_values:
            axis, indices = int(node.attr("axis", 0)) % len(shape), graph.constant(node.inputs[1])
            one_sample = not shapes.batchable or samples not in (None, axis)  # what mixes samples has more in a feed
            if fixed and one_sample and indices is not None:
                picked.setdefault(axis, set()).update((indices.reshape(-1) % shape[axis]).tolist())
    return shape is not None and any(len(indices) == shape[axis] for axis, indices in picked.items())


def _unbounded(target: Target) -> bool:
    kind = target.audited.kind
    return kind is Kind.SMOOTH or (kind is Kind.RECTIFIER and target.audited.low is None)


def carriers(node: Node, shapes: ShapeTable, fixed: bool) -> tuple[str, ...]:
    """Inputs of the node whose every NaN shows in its first output; `fixed`: all feeds have the same lengths."""
    kind = node.qualified_type
    if kind in WINDOWED:
        return node.inputs[:1] if fixed and sees_every_position(node, shapes) else ()
    if kind not in ARITHMETIC and kind not in BOUNDED:
        return ()
    if kind == "Gemm":
        return node.inputs[:2]  # the third is not read where it counts for nothing
    return node.inputs[:1] if kind in FIRST_INPUT_ONLY else node.inputs
