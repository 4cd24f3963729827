"""What can go: per stored tensor the indices that no longer stay, and the multiply-adds that go with them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from analyzer.facts.audit import Removable, TensorPlan
from analyzer.propagate.closure import Closure
from analyzer.ops.context import Context

_QUANTISED = ("DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def parameter_names(context: Context) -> list[str]:
    """Stored tensors that count as parameters: floating point, or integers of quantised operators; not shapes."""
    graph, names = context.graph, []
    for name in sorted(graph.initializer_names):
        kind = graph.initializer_dtype(name).kind
        readers = graph.consumers.get(name, ())
        if not readers or not graph.initializer_shape(name):
            continue
        quantised = kind in "iu" and any(node.op_type in _QUANTISED for node, _ in readers)
        if kind in "fV" or quantised:
            names.append(name)
    return names


def count_parameters(context: Context) -> int:
    """Elements of all parameters."""
    return sum(prod(context.graph.initializer_shape(n)) for n in parameter_names(context))


def count_macs(context: Context, shape: Callable[[str], tuple[int, ...]], closure: Closure | None = None) -> int:
    """Multiply-adds of one sample for these shapes, over the nodes that stay."""
    total = 0
    for call in context.calls:
        if call.barrier is None and (closure is None or closure.live(call)):
            total += call.rule.macs(call.op, shape)
    return total // max(context.table.samples, 1)


def removable(context: Context, closure: Closure) -> Removable:
    """The plan in numbers."""
    keeps, tensors = closure.keeps, []
    for name in parameter_names(context):
        shape = context.graph.initializer_shape(name)
        vectors = keeps.vectors(name)
        kept = keeps.shape(name) if keeps.alive(name) else (0,) * len(shape)
        gone = prod(shape) - prod(kept)
        if gone:
            removed = tuple(tuple(int(i) for i in np.flatnonzero(~v)) for v in vectors)
            tensors.append(TensorPlan(name, shape, kept, gone, removed))
    parameters, before = sum(t.removable for t in tensors), count_parameters(context)
    macs = count_macs(context, context.shapes.__getitem__)
    macs_gone = macs - count_macs(context, keeps.shape, closure)
    return Removable(
        parameters=parameters,
        parameters_share=parameters / before if before else 0.0,
        multiply_adds=macs_gone,
        multiply_adds_share=macs_gone / macs if macs else 0.0,
        tensors=tuple(tensors),
    )
