"""Heads that a view merges with samples while products are summed over them: they keep an axis of their own.

Reshape(X [t, n, (h d)], [t, (n h), d]) is Reshape(X, [t, n, h, d]) with its middle axes merged, and of masks
Reshape(X [n, h, t, s], [(n h), t, s]) is X with its first axes merged. What reads it (products of matrices, softmax,
what works place by place) treats each entry of that axis alone, and the view at the end takes elements in the same
order. So PyTorch writes `nn.MultiheadAttention` where it gives weights, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from analyzer.graph.names import Names, names_of
from analyzer.graph.tracing import maker, stored
from analyzer.graph.view import SPELLED_OUT

Dims = tuple[int | str | None, ...]
_PLACE_BY_PLACE = ("Add", "Sub", "Mul", "Div")
_ALONE = ("Cast", "Identity")
_MERGED = 3  # axes of a view that merges heads with samples


@dataclass(frozen=True)
class _Merged:
    """On which axis of a value samples and heads are merged, how many heads, and which views did that."""

    axis: int
    heads: int
    views: frozenset[ir.Node]
    target: tuple[int, ...] = ()  # of the view, where it does not merge


def may_merge_heads(model: ir.Model) -> bool:
    """Whether there is some view of three axes."""
    return any(node.op_type == "Reshape" and not node.domain and _axes_of(node) == _MERGED for node in model.graph)


def keep_heads_apart(model: ir.Model, shapes: Mapping[str, Dims]) -> None:
    """Give heads an axis of their own; `shapes` are lengths that inference finds, by number or by name."""
    barred: set[ir.Node] = set()
    while True:
        merged, spoilt = _followed(model.graph, shapes, barred)
        if not spoilt:
            break
        barred |= spoilt
    if not merged:
        return
    names = Names(names_of(model.graph))
    for value, found in merged.items():
        node = value.producer()
        assert node is not None
        if node in found.views:
            tensor = ir.tensor(np.array(found.target), name=names.fresh(f"{value.name}/heads"))
            new = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape([4]), const_value=tensor)
            model.graph.register_initializer(new)
            node.replace_input_with(1, new)
            node.attributes.pop("allowzero", None)
        elif node.op_type == "Transpose":
            axis = merged[node.inputs[0]].axis  # type: ignore[index]
            perm = [place + (place > axis) for place in node.attributes.get_ints("perm", ())]
            perm.insert(perm.index(axis) + 1, axis + 1)
            node.attributes["perm"] = ir.AttrInt64s("perm", perm)
        elif node.op_type == "Softmax":
            node.attributes["axis"] = ir.AttrInt64("axis", -1)
        value.shape = None
    model.meta[SPELLED_OUT] = True


def _followed(
    graph: ir.Graph, shapes: Mapping[str, Dims], barred: set[ir.Node]
) -> tuple[dict[ir.Value, _Merged], set[ir.Node]]:
    """All values in which heads are merged with samples, and the views of which something else is read."""
    merged: dict[ir.Value, _Merged] = {}
    spoilt: set[ir.Node] = set()
    for node in graph:
        read = [merged[value] for value in node.inputs if value in merged]
        found = _through(node, merged, shapes) if read else _merging(node, shapes, barred)
        if found is not None:
            merged[node.outputs[0]] = found
        elif read and not _ends(node, merged):
            spoilt |= {view for one in read for view in one.views}
    for value, found in merged.items():
        if value.is_graph_output() or any(reader.graph is not graph for reader, _ in value.uses()):
            spoilt |= found.views
    ended = {view for node in graph if _ends(node, merged) for view in merged[node.inputs[0]].views}  # type: ignore[index]
    spoilt |= {view for found in merged.values() for view in found.views if view not in ended}
    return merged, spoilt


def _merging(node: ir.Node, shapes: Mapping[str, Dims], barred: set[ir.Node]) -> _Merged | None:
    """What a view from [t, n, (h d)] to [t, (n h), d] merges, or from [n, h, t, s] to [(n h), t, s]."""
    if node.op_type != "Reshape" or node.domain or node in barred:
        return None
    before, after = (shapes.get(str(value.name), ()) for value in (node.inputs[0], node.outputs[0]) if value)
    if len(after) != _MERGED or None in before:
        return None
    if len(before) == _MERGED + 1 and before[2:] == after[1:] and isinstance(before[1], int) and before[1] > 1:
        return _Merged(0, before[1], frozenset([node]), (0, 0, 0, 0))
    if len(before) != _MERGED or before[0] != after[0]:
        return None
    width, size = before[2], after[2]
    if not isinstance(width, int) or not isinstance(size, int) or size < 1 or width % size or width == size:
        return None
    return _Merged(1, width // size, frozenset([node]), (0, 0, width // size, size))


def _through(node: ir.Node, merged: Mapping[ir.Value, _Merged], shapes: Mapping[str, Dims]) -> _Merged | None:
    """What a node that treats each entry of the merged axis alone gives out; None where it may not."""
    values = [value for value in node.inputs if value is not None]
    read = [merged[value] for value in values if value in merged]
    first, views = read[0], frozenset().union(*(one.views for one in read))
    if node.domain or len(node.outputs) != 1 or any((one.axis, one.heads) != (first.axis, first.heads) for one in read):
        return None
    found = _Merged(first.axis, first.heads, views)
    if node.op_type == "Transpose":
        perm = [*node.attributes.get_ints("perm", ())]
        return _Merged(perm.index(first.axis), first.heads, views) if first.axis in perm else None
    if node.op_type == "MatMul":
        return found if len(read) == 2 and first.axis == 0 else None
    if node.op_type == "Softmax":
        last = node.attributes.get_int("axis", 0) in (-1, _MERGED - 1)
        return found if last and first.axis < _MERGED - 1 and "axis" in node.attributes else None
    if node.op_type in _PLACE_BY_PLACE:
        others = (_dims(value, shapes) for value in values if value not in merged)
        return found if all(dims is not None and _is_beside(dims, first.axis) for dims in others) else None
    return found if node.op_type in _ALONE else None


def _dims(value: ir.Value, shapes: Mapping[str, Dims]) -> Dims | None:
    tensor = stored(value)
    return shapes.get(str(value.name)) if tensor is None else tuple(tensor.shape.numpy())


def _is_beside(dims: Dims, axis: int) -> bool:
    """Whether a value that is broadcast against one with merged axes is the same along them, in both forms."""
    rest = _MERGED - 1 - axis  # axes behind the merged one
    return len(dims) <= _MERGED and all(length == 1 for length in dims[: max(len(dims) - rest, 0)])


def _ends(node: ir.Node, merged: Mapping[ir.Value, _Merged]) -> bool:
    """Whether it is a view of elements in their order, with no length taken from the merged value's axes."""
    if node.op_type != "Reshape" or node.domain or not node.inputs or node.inputs[0] not in merged:
        return False
    parts = _parts(node)
    numbers = [] if parts is None else [tensor for part in parts if (tensor := stored(part)) is not None]
    return parts is not None and all((tensor.numpy() != 0).all() for tensor in numbers)


def _parts(view: ir.Node) -> list[ir.Value] | None:
    """What is joined to the target of a view."""
    target = view.inputs[1]
    if stored(target) is not None:
        return None if target is None else [target]
    listed = maker(target, "Concat")
    return None if listed is None else [value for value in listed.inputs if value is not None]


def _axes_of(view: ir.Node) -> int:
    tensor, parts = stored(view.inputs[1]), _parts(view)
    return len(parts or ()) if tensor is None else int(tensor.size)
