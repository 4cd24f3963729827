"""Lists of tensors that the file decides, spelled out: what PyTorch writes of a script that takes tensors apart.

SequenceAt of SplitToSequence(X) becomes a Slice or a Gather of X, ConcatFromSequence of a list whose entries are known
a Concat of these, and a length that is known a number. Lists whose positions or sizes are computed stay as they are,
and so do those that go into the model, out of it, or around a loop.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from analyzer.algebra.pattern import Array
from analyzer.graph.names import Names, names_of
from analyzer.graph.subgraphs import COPY
from analyzer.graph.tracing import maker, stored
from analyzer.graph.view import LIFTED, SPELLED_OUT

_AXES_ARE_INPUTS = 13  # of Unsqueeze
_LONGEST = 1 << 10  # entries put into a list one after another
_FARTHEST = 1 << 62  # a bound of a Slice
_STARTS = ("SequenceConstruct", "SequenceEmpty", "SplitToSequence")
_MAKERS = (*_STARTS, "SequenceInsert")


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the parts into which SplitToSequence takes a tensor."""

    split: ir.Node
    place: int


_Entry = ir.Value | _Part | None


def spell_out_lists(model: ir.Model) -> None:
    """Put single operators in the place of those that make and read lists, where the file decides these."""
    graphs = [*{id(graph): graph for graph in (model.graph, *model.graph.subgraphs())}.values()]
    if not any(_makes_list(node) for graph in graphs for node in graph):
        return
    lists = _Lists(model)
    for graph in graphs:
        for node in [*graph]:
            lists.replace(graph, node)
    for graph in reversed(graphs):
        for node in reversed([*graph]):
            if _makes_list(node) and not any(value.uses() or value.is_graph_output() for value in node.outputs):
                graph.remove(node, safe=True)


class _Lists:
    """The edits of one model."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._names = Names(names_of(model.graph))
        self._opset = model.opset_imports.get("", 1)

    def replace(self, graph: ir.Graph, node: ir.Node) -> None:
        """Put what a reader of a list gives in its place, where that is known."""
        readers = {"SequenceAt": self._at, "ConcatFromSequence": self._joined, "SequenceLength": self._length}
        reader = None if node.domain else readers.get(node.op_type)
        new = None
        with suppress(TypeError):  # attributes of another type than they should have
            new = reader(node) if reader is not None else None
        if new is not None:
            ir.convenience.replace_nodes_and_values(graph, node, [node], [new], node.outputs, new.outputs)
            new.name = node.name
            new.metadata_props.update(node.metadata_props)
            self._model.meta[SPELLED_OUT] = True

    def _at(self, node: ir.Node) -> ir.Node | None:
        made, place = maker(_input(node, 0), *_MAKERS), _number(_input(node, 1))
        if made is None or place is None:
            return None
        if made.op_type == "SplitToSequence":
            return self._part(node, _Part(made, place))
        entries = _entries(_input(node, 0)) or []
        entry = entries[place] if -len(entries) <= place < len(entries) else None
        if isinstance(entry, _Part):
            return self._part(node, entry)
        return None if entry is None else _node(COPY, [entry])

    def _joined(self, node: ir.Node) -> ir.Node | None:
        entries, axis = _entries(_input(node, 0)), node.attributes.get_int("axis")
        if not entries or axis is None:
            return None
        values = [self._value(node, entry) for entry in entries]
        if None in values:
            return None
        if node.attributes.get_int("new_axis", 0):
            attributes = {"axes": [axis]} if self._opset < _AXES_ARE_INPUTS else {}
            axes = [] if attributes else [self._constant(node, "axis", np.array([axis]))]
            values = [self._before(node, _node("Unsqueeze", [value, *axes], **attributes)) for value in values]
        return _node("Concat", values, axis=axis)

    def _length(self, node: ir.Node) -> ir.Node | None:
        entries = _entries(_input(node, 0))
        return None if entries is None else _node(COPY, [self._constant(node, "length", np.array(len(entries)))])

    def _value(self, reader: ir.Node, entry: _Entry) -> ir.Value | None:
        part = self._part(reader, entry) if isinstance(entry, _Part) else None
        return entry if isinstance(entry, ir.Value) else None if part is None else self._before(reader, part)

    def _part(self, reader: ir.Node, part: _Part) -> ir.Node | None:
        """The node that gives one part; None where its place is not known."""
        x, axis, place = _input(part.split, 0), part.split.attributes.get_int("axis", 0), part.place
        sizes, start, end = _sizes(part.split), -1, 0
        keep = part.split.attributes.get_int("keepdims", 1)  # of sizes that are listed it says nothing
        if sizes is None:
            return None
        if sizes.ndim == 0 and sizes == 1:
            index = self._constant(reader, "index", np.array([place] if keep else place))
            return _node("Gather", [x, index], axis=axis)
        if sizes.ndim == 0 and keep:  # equal parts, but for the last; how many there are is not asked
            start, end = place * int(sizes), (place + 1) * int(sizes)
        elif sizes.ndim and -len(sizes) <= place < len(sizes):
            end = int(sizes[: place % len(sizes) + 1].sum())
            start = end - int(sizes[place])
        if not 0 <= start <= end <= _FARTHEST:
            return None
        bounds = {"start": start, "end": end, "axis": axis}
        return _node("Slice", [x, *(self._constant(reader, stem, np.array([n])) for stem, n in bounds.items())])

    def _before(self, reader: ir.Node, node: ir.Node) -> ir.Value:
        """Add a node in front of another, with a name of its own."""
        assert reader.graph is not None
        reader.graph.insert_before(reader, node)
        node.name = node.outputs[0].name = self._names.fresh(f"{reader.outputs[0].name}/{node.op_type}")
        node.metadata_props.update(reader.metadata_props)
        return node.outputs[0]

    def _constant(self, reader: ir.Node, stem: str, array: Array) -> ir.Value:
        name = self._names.fresh(f"{reader.outputs[0].name}/{stem}")
        tensor = ir.tensor(array.astype(np.int64), name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        self._model.graph.register_initializer(value)
        self._model.meta[LIFTED] |= {name}
        return value


def _makes_list(node: ir.Node) -> bool:
    return not node.domain and node.op_type in _MAKERS


def _node(op_type: str, inputs: list[ir.Value | None], **attributes: Any) -> ir.Node:
    return ir.Node("", op_type, inputs, ir.convenience.convert_attributes(attributes), num_outputs=1)


def _input(node: ir.Node, position: int) -> ir.Value | None:
    return node.inputs[position] if position < len(node.inputs) else None


def _whole_numbers(value: ir.Value | None) -> Array | None:
    """What a stored tensor of whole numbers holds that no caller can override."""
    tensor = stored(value)
    array = None if tensor is None else np.asarray(tensor.numpy())
    return array if array is not None and array.dtype.kind in "iu" else None


def _number(value: ir.Value | None) -> int | None:
    array = _whole_numbers(value)
    return int(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _sizes(split: ir.Node) -> Array | None:
    """Lengths of the parts: one per part, or a single number for all but the last."""
    sizes = np.array(1) if _input(split, 1) is None else _whole_numbers(_input(split, 1))
    return sizes if sizes is not None and sizes.ndim < 2 and (sizes >= 0).all() else None


def _entries(value: ir.Value | None) -> list[_Entry] | None:
    """What a list holds; None where the file does not decide it."""
    added: list[tuple[ir.Value | None, int | None]] = []
    node = maker(value, *_MAKERS)
    while node is not None and node.op_type == "SequenceInsert" and len(added) < _LONGEST:
        place = _number(_input(node, 2))
        if place is None and _input(node, 2) is not None:
            return None
        added.append((_input(node, 1), place))
        node = maker(_input(node, 0), *_MAKERS)
    if node is None or node.op_type not in _STARTS:
        return None
    entries: list[_Entry] = [*node.inputs]
    if node.op_type == "SplitToSequence":
        sizes = _sizes(node)
        if sizes is None or sizes.ndim == 0:
            return None
        entries = [_Part(node, place) for place in range(len(sizes))]
    for tensor, place in reversed(added):
        entries.insert(len(entries) if place is None else place, tensor)
    return entries
