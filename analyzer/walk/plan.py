"""What can go: per stored tensor the indices that no longer stay, and the multiply-adds that go with them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from analyzer.algebra.pattern import Mask
from analyzer.facts.audit import Removable, TensorPlan
from analyzer.facts.cut import AS_STORED, Reordered, elements_kept
from analyzer.ops.context import Context
from analyzer.ops.node_edit import cut_array
from analyzer.walk.closure import Closure
from analyzer.walk.parameters import count_parameters, numbers_in, parameter_names


def count_macs(context: Context, shape: Callable[[str], tuple[int, ...]], closure: Closure | None = None) -> int:
    """Multiply-adds of one sample for these shapes, over the nodes that stay, as far as they are known."""
    total = 0
    for call in context.calls:
        if closure is None or closure.live(call):
            total += call.multiply_adds(shape) or 0
    return total // max(context.table.samples, 1)


def kept_apart(context: Context, closure: Closure) -> dict[str, int]:
    """Per tensor that several nodes read: elements of the different tensors that its readers are left with."""
    contents: dict[str, dict[bytes, int]] = {}
    for copy in context.copies.values():
        found = contents.setdefault(copy.source, {})
        array = context.graph.constant(copy.source)
        if array is not None and closure.keeps.alive(copy.name):
            cut = cut_array(array, closure.keeps.vectors(copy.name))
            found[str(cut.shape).encode() + cut.tobytes()] = cut.size
    return {name: sum(found.values()) for name, found in contents.items()}


def grown_by_copies(context: Context, closure: Closure) -> frozenset[str]:
    """Tensors that would grow if every reader got a copy cut for itself."""
    apart = kept_apart(context, closure)
    return frozenset(n for n, size in apart.items() if size > prod(context.graph.initializer_shape(n)))


def removable(
    context: Context, closure: Closure, reordered: Reordered = AS_STORED, left: int | None = None
) -> Removable:
    """The plan in numbers; `left` parameters were counted in the model that it was carried out on.

    Of tensors that lie in another order when they are cut, `removed` has the original's indices of which all goes. More
    goes than they say: what, only the mask tells.
    """
    keeps, tensors, apart = closure.keeps, [], kept_apart(context, closure)
    parameters, before = 0, count_parameters(context.graph)
    for name in parameter_names(context.graph):
        shape = context.graph.initializer_shape(name)
        kept = keeps.shape(name) if keeps.alive(name) else (0,) * len(shape)
        stay = apart.get(name)
        gone = (prod(shape) - (prod(kept) if stay is None else stay)) * numbers_in(context.graph, name)
        parameters += gone
        if gone > 0:
            vectors = keeps.vectors(name)
            if name in reordered.places:
                vectors = _somewhere(reordered.original(name, elements_kept(keeps, name, shape)))
            removed = tuple(tuple(int(i) for i in np.flatnonzero(~v)) for v in vectors)
            tensors.append(TensorPlan(name, shape, kept, gone, removed))
    parameters = parameters if left is None else before - left
    macs = count_macs(context, context.shapes.__getitem__)
    macs_gone = macs - count_macs(context, keeps.shape, closure)
    return Removable(
        parameters=parameters,
        parameters_share=parameters / before if before else 0.0,
        multiply_adds=macs_gone,
        multiply_adds_share=macs_gone / macs if macs else 0.0,
        tensors=tuple(tensors),
    )


def _somewhere(mask: Mask) -> tuple[Mask, ...]:
    """Per axis the indices of which something stays."""
    others = (tuple(other for other in range(mask.ndim) if other != axis) for axis in range(mask.ndim))
    return tuple(np.asarray(mask.any(axis=axes)) for axes in others)


def peak_activation(context: Context, shape: Callable[[str], tuple[int, ...]], closure: Closure | None = None) -> int:
    """Most bytes of computed values that are alive at once when nodes run in order, for one sample."""
    calls = [c for c in context.calls if closure is None or closure.live(c)]
    last: dict[str, int] = {}
    for place, call in enumerate(calls):
        last.update(dict.fromkeys((*call.inputs, *call.op.node.captured), place))
    alive: dict[str, int] = {}
    peak = 0
    for place, call in enumerate(calls):
        for name in call.outputs:
            if name and name in context.shapes and name not in context.graph.static_values:
                dtype = context.graph.types[name].dtype
                alive[name] = prod(shape(name)) * (dtype.itemsize if dtype is not None else 4)
        peak = max(peak, sum(alive.values()))
        for name in [n for n in alive if last.get(n, -1) <= place and n not in context.outputs]:
            del alive[name]
    return peak // max(context.table.samples, 1)
