"""Axes that a view merges and another one takes apart again, with a transposition between: they stay apart.

Reshape(X, [.., a b, ..]), Transpose, Reshape(.., [.., a, b, ..]) is Reshape(X, [.., a, b, ..]) and a Transpose of more
axes. So PyTorch's newer exporter transposes keys; heads that are merged with samples on the way could not be cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import onnx_ir as ir

from analyzer.graph.names import Names, names_of
from analyzer.graph.static import draws
from analyzer.graph.tracing import maker, stored
from analyzer.graph.view import SPELLED_OUT

_Piece = tuple[object, ir.Value, int]  # what a part of a target shape is, the value that holds it, how many axes it has


def views_that_merge(model: ir.Model) -> list[ir.Node]:
    """The Reshapes behind a Transpose of another Reshape."""
    return [n for n in model.graph if _is(n, "Reshape") and _maker(_maker(n, "Transpose"), "Reshape") is not None]


def keep_axes_apart(model: ir.Model, lengths: Mapping[str, tuple[int, ...]]) -> None:
    """Put one view and a transposition in the place of two views; `lengths` are the shapes that inference finds."""
    names = Names(names_of(model.graph))
    for last in views_that_merge(model):
        turn = _maker(last, "Transpose")
        first = _maker(turn, "Reshape")
        if turn is None or first is None:  # no longer, as what stood in front was one of them, too
            continue
        perm = list(turn.attributes.get_ints("perm", ()))
        merged, apart = (_pieces(node.inputs[1], lengths, model.opset_imports) for node in (first, last))
        if merged is None or apart is None or sorted(perm) != [*range(len(merged))]:
            continue
        groups = _groups([merged[axis] for axis in perm], apart)
        if groups is None:
            continue
        by_axis = [groups[perm.index(axis)] for axis in range(len(perm))]
        ends = [*accumulate((sum(piece[2] for piece in group) for group in by_axis), initial=0)]
        order = [place for axis in perm for place in range(ends[axis], ends[axis + 1])]
        name, listed = (names.fresh(f"{last.outputs[0].name}/{stem}") for stem in ("apart", "lengths"))
        parts = [value for group in by_axis for _, value, _ in group]
        target = ir.Node("", "Concat", parts, [ir.AttrInt64("axis", 0)], num_outputs=1, name=listed)
        view = ir.Node("", "Reshape", [first.inputs[0], target.outputs[0]], num_outputs=1, name=name)
        turned = ir.Node("", "Transpose", view.outputs, [ir.AttrInt64s("perm", order)], num_outputs=1, name=last.name)
        for node in (target, view):
            node.outputs[0].name = node.name
        for node in (target, view, turned):
            node.metadata_props.update(last.metadata_props)
        ir.convenience.replace_nodes_and_values(
            model.graph, last, [last], [target, view, turned], last.outputs, turned.outputs
        )
        for node in (turn, first):
            if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
                model.graph.remove(node, safe=True)
        model.meta[SPELLED_OUT] = True


def _groups(merged: Sequence[_Piece], apart: Sequence[_Piece]) -> list[list[_Piece]] | None:
    """Per axis of the first shape its pieces in the second: one and the same, but for a single axis that is parted."""
    same = [what for what, _, axes in merged if axes == 1 and what not in (-1, 0)]
    for place in range(len(merged)):
        after = len(merged) - place - 1
        middle = list(apart[place : len(apart) - after])
        others = [(a, b) for a, b in zip(merged[:place], apart[:place], strict=False)]
        others += zip(merged[place + 1 :], apart[len(apart) - after :], strict=False)
        fit = all(a[0] == b[0] and a[0] in same and b[2] == 1 for a, b in others)
        several = sum(axes for _, _, axes in middle) > 1 and all(what != 0 for what, _, _ in middle)
        if fit and several and merged[place][2] == 1:
            rows = [[piece] for piece in apart]
            return [*rows[:place], middle, *rows[len(apart) - after :]]
    return None


def _pieces(
    target: ir.Value | None, lengths: Mapping[str, tuple[int, ...]], opsets: Mapping[str, int]
) -> list[_Piece] | None:
    """The parts that are joined to a target shape; None where it is no such list."""
    node = None if target is None else target.producer()
    if node is None or not _is(node, "Concat"):
        return None
    pieces: list[_Piece] = []
    for part in node.inputs:
        if part is None:
            return None
        tensor = stored(part)
        shape = lengths.get(str(part.name)) if tensor is None else tuple(tensor.shape.numpy())
        if shape is None or len(shape) != 1 or shape[0] < 1 or (tensor is not None and shape != (1,)):
            return None
        what: object = _computation(part, opsets) if tensor is None else int(tensor.numpy()[0])
        pieces.append((what, part, shape[0]))
    return pieces


def _computation(value: ir.Value | None, opsets: Mapping[str, int], deepest: int = 6) -> object:
    """How a value is computed: what is computed alike from the same values is the same."""
    if value is None or not deepest:
        return value
    tensor, node = stored(value), value.producer()
    if tensor is not None and tensor.size == 1:
        return tensor.dtype, tuple(tensor.shape.numpy()), tensor.numpy().item()
    if node is None or len(node.outputs) > 1 or draws(node.op_type, opsets.get(node.domain, 1), node.domain):
        return value
    if any(
        attribute.type not in (ir.AttributeType.INT, ir.AttributeType.INTS) for attribute in node.attributes.values()
    ):
        return value
    attributes = sorted((attribute.name, str(attribute.value)) for attribute in node.attributes.values())
    read = (_computation(part, opsets, deepest - 1) for part in node.inputs)
    return (node.op_identifier(), *attributes, *read)


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and not node.domain and len(node.inputs) > (op_type == "Reshape")


def _maker(node: ir.Node | None, op_type: str) -> ir.Node | None:
    """The node that makes a node's first input, if it is of that kind."""
    found = None if node is None or not node.inputs else maker(node.inputs[0], op_type)
    return found if found is not None and _is(found, op_type) else None
