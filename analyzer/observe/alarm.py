"""Which values to check so that a NaN anywhere is noticed, without reading every activation twice.

onnxruntime's maxima drop NaN, and a check of its own for each activation costs as much as the maximum does. But a
NaN in one activation reaches the next through most operators: it is enough to check where it would get lost (before
a MaxPool, an ArgMax, an operator not listed here) and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.facts.units import Kind, ShapeTable
from analyzer.graph import Graph, Node
from analyzer.observe.targets import Target
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
    ["Clip", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "Reshape", "Dropout", "Div"]
)


def guards(graph: Graph, targets: Sequence[Target], shapes: ShapeTable) -> list[Target]:
    """The targets to check, so that a NaN in any target shows in one of them or in a flat target.

    Targets whose outputs have no bound below are also covered for minus infinity (a maximum shows plus infinity by
    itself), except linear ones.
    """
    by_name = {t.audited.value: t for t in targets}
    nan = {t.audited.value for t in targets if t.flat}
    infinity = set(nan)
    chosen: list[Target] = []
    for node in reversed(graph.nodes):
        for name in node.outputs:
            target = by_name.get(name)
            if target is None or name in (infinity if _unbounded(target) else nan):
                continue
            chosen.append(target)
            nan.add(name)
            infinity.add(name)
        inputs = carriers(node, shapes)
        if node.outputs and node.outputs[0] in nan:
            nan.update(inputs)
        if node.outputs and node.outputs[0] in infinity and node.qualified_type not in BOUNDED:
            infinity.update(inputs)
    return chosen


def _unbounded(target: Target) -> bool:
    kind = target.audited.kind
    return kind is Kind.SMOOTH or (kind is Kind.RECTIFIER and target.audited.low is None)


def carriers(node: Node, shapes: ShapeTable) -> tuple[str, ...]:
    """Inputs of the node whose every NaN shows in its first output."""
    kind = node.qualified_type
    if kind in WINDOWED:
        return node.inputs[:1] if sees_every_position(node, shapes) else ()
    if kind not in ARITHMETIC and kind not in BOUNDED:
        return ()
    return node.inputs[:1] if kind in FIRST_INPUT_ONLY else node.inputs
