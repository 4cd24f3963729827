"""Lengths that a model measures although the file fixes them: they are stored as the numbers that they are.

Exporters write `h[..., : h.shape[-1] // 2]` as a Shape, a Gather, a Div and a Slice, whatever is known of h. A length
is fixed where ONNX's shape inference finds it from the stored tensors and from what the file declares of its inputs,
their first axis excepted, which may be run at another length than declared. A run has to confirm it
(`shapes/confirmed_lengths.py`); a length that some run merely showed is none. What follows from fixed lengths alone is
stored, too: bounds, paddings, scales, and sizes of the parts of lists, which are spelled out as soon as they are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from analyzer.algebra.pattern import Array
from analyzer.graph.blocked_channels import read_blocks_back
from analyzer.graph.infer_shapes import inferred, named_lengths
from analyzer.graph.lend import is_read, weights_left_out
from analyzer.graph.lists import spell_out_lists
from analyzer.graph.merged_axes import keep_axes_apart, views_that_merge
from analyzer.graph.merged_heads import keep_heads_apart, may_merge_heads
from analyzer.graph.static import StaticPart, draws
from analyzer.graph.subgraphs import bodies_of
from analyzer.graph.tracing import maker, stored
from analyzer.graph.view import LIFTED, MEASURED, Fold

ROUNDS = 8  # a shape that is made of lengths shows further lengths
MOST = 64  # numbers of a value that is stored: shapes, bounds, paddings
_PREFIX = "deadunits/fixed/"
_AXES_ARE_INPUTS = 13  # of Unsqueeze
_KINDS = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL, ir.DataType.FLOAT)


def store_fixed_lengths(model: ir.Model, fold: Fold) -> None:
    """Put stored numbers in the place of lengths that are fixed, and of what follows from them alone."""
    read_blocks_back(model, fold)
    _keep_axes_apart(model)
    _store_fixed(model, fold)
    _keep_axes_apart(model)  # some of which show only now that lengths are numbers
    if may_merge_heads(model):
        keep_heads_apart(model, _named_lengths(model, fold))


def _keep_axes_apart(model: ir.Model) -> None:
    if views_that_merge(model):
        keep_axes_apart(model, {name: shape for name, (_, shape) in inferred(_proto(model)).items()})


def _named_lengths(model: ir.Model, fold: Fold) -> dict[str, tuple[int | str | None, ...]]:
    """What inference knows where it is told what stored numbers alone decide, which it does not compute."""
    proto, values = _proto(model), _computed(model, None, fold)
    rest = [node for node in proto.graph.node if not values.keys() >= set(node.output)]
    del proto.graph.node[:]
    proto.graph.node.extend(rest)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
    return {name: lengths for name, (_, lengths) in named_lengths(proto).items()}


def _store_fixed(model: ir.Model, fold: Fold) -> None:
    lengths: set[str] = set()
    for _ in range(ROUNDS):
        spell_out_lists(model)
        _drop_guards(model)
        if not any(node.op_type == "Shape" and not node.domain for node in model.graph):
            return
        found = _measured(_proto(model))
        if found.keys() <= lengths:
            return
        while not found.keys() <= lengths:
            _store(model, found)
            lengths |= found.keys()
            found = _computed(model, lengths, fold)


def _proto(model: ir.Model) -> onnx.ModelProto:
    """The model without its weights, with the first axis of every input free."""
    with weights_left_out(model, {}):
        proto = ir.to_proto(model)
    stored = {tensor.name for tensor in proto.graph.initializer}
    kept = [
        tensor for tensor in proto.graph.initializer if not (model.graph.initializers[tensor.name].is_graph_input())
    ]
    for value in proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if value.name not in stored and (axis == 0 or dim.dim_value < 0):
                dim.dim_param = f"free/{value.name}/{axis}"
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)  # what a caller may override decides nothing
    return proto


def _measured(proto: onnx.ModelProto) -> dict[str, Array]:
    """What inference knows of values that list lengths: it says so of the shape that a value of such lengths has."""
    made = {name for node in proto.graph.node for name in node.output if name}
    lists = {
        name: lengths
        for name, (kind, lengths) in inferred(proto).items()
        if kind == onnx.TensorProto.INT64 and len(lengths) < 2 and name in made
    }
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0]), _PREFIX))
    for name, lengths in lists.items():
        listed = name
        if not lengths:
            listed = f"{_PREFIX}list/{name}"
            axes: dict[str, Any] = {} if _opset(proto) >= _AXES_ARE_INPUTS else {"axes": [0]}
            inputs = [name] if axes else [name, _PREFIX]
            proto.graph.node.append(helper.make_node("Unsqueeze", inputs, [listed], **axes))
        proto.graph.node.append(helper.make_node("ConstantOfShape", [listed], [_PREFIX + name]))
    known = inferred(proto)
    found = {name: np.array(known[_PREFIX + name][1], np.int64) for name in lists if _PREFIX + name in known}
    whole = {name: array for name, array in found.items() if array.size and (array >= 0).all()}
    return {name: array.reshape(() if not lists[name] else -1) for name, array in whole.items()}


def _opset(proto: onnx.ModelProto) -> int:
    return next((opset.version for opset in proto.opset_import if not opset.domain), 0)


def _computed(model: ir.Model, lengths: set[str] | None, fold: Fold) -> dict[str, Array]:
    """What follows from stored numbers alone, lengths among them (None: or none), with what that takes."""
    static = list[ir.Node]()
    known = set[ir.Node | None]()  # the same
    for node in model.graph:
        read = [value for value in node.inputs if value is not None]
        if not read or bodies_of(node) or not all(_is_small(value) or value.producer() in known for value in read):
            continue
        if not draws(node.op_type, model.opset_imports.get(node.domain, 1), node.domain):
            static.append(node)
            known.add(node)
    used = set[ir.Node | None]()
    for node in reversed(static):
        read = [value for value in node.inputs if value is not None]
        if node in used or lengths is None or lengths.intersection(str(value.name) for value in read):
            used |= {node, *(value.producer() for value in read)}
    protos = [ir.to_proto(node) for node in static if node in used]
    for index, proto in enumerate(protos):
        proto.name = f"static/{index}"
    if not protos:
        return {}
    tensors = {n: v.const_value for n, v in model.graph.initializers.items() if v.const_value is not None}
    values = fold(StaticPart(tuple(protos), tensors, dict(model.opset_imports), model.ir_version))
    return {n: array for n, array in values.items() if array.size <= MOST}


def _drop_guards(model: ir.Model) -> None:
    """Where(lengths == -1, others, lengths), as `expand` is written, gives the lengths: none of them is -1."""
    for node in [node for node in model.graph if node.op_type == "Where" and not node.domain and len(node.inputs) == 3]:
        condition, others, lengths = node.inputs
        test = maker(condition, "Equal")
        if test is None or lengths is None or lengths not in test.inputs or node.outputs[0].is_graph_output():
            continue
        lists = [_numbers(value) for value in (*test.inputs, others) if value is not lengths]
        shapes = [None if numbers is None else numbers.shape for numbers in lists]
        if shapes == [_listed(lengths)] * 2 and lists[0] is not None and (lists[0] < 0).all():
            node.outputs[0].replace_all_uses_with(lengths)
            model.meta.setdefault(MEASURED, frozenset())
            model.graph.remove(node, safe=True)
            if not test.outputs[0].uses() and not test.outputs[0].is_graph_output():
                model.graph.remove(test, safe=True)


def _listed(value: ir.Value | None, deepest: int = 8) -> tuple[int, ...] | None:
    """The shape of a value of which each number is a length or stored, and none below 0; () and [n] alone are known."""
    numbers = _numbers(value)
    if numbers is not None:
        return numbers.shape if (numbers >= 0).all() else None
    node = maker(value, "Concat", "Gather", "Reshape", "Unsqueeze") if deepest else None
    if node is None:
        return None
    if node.op_type == "Gather":
        places = _numbers(node.inputs[1])
        return None if places is None or maker(node.inputs[0], "Shape") is None else places.shape
    shapes = [_listed(part, deepest - 1) for part in (node.inputs if node.op_type == "Concat" else node.inputs[:1])]
    if node.op_type == "Unsqueeze":
        return (1,) if shapes == [()] else None
    count = [shape[0] for shape in shapes if shape is not None and len(shape) == 1]
    target = np.array(-1) if node.op_type == "Concat" else _numbers(node.inputs[1])
    return (sum(count),) if target is not None and (target == -1).all() and len(count) == len(shapes) else None


def _numbers(value: ir.Value | None) -> Array | None:
    tensor = value.const_value if value is not None and _is_small(value) else None
    return None if tensor is None else np.asarray(tensor.numpy())


def _is_small(value: ir.Value) -> bool:
    """Whether it is a small stored tensor that no caller can override."""
    tensor = stored(value)
    return tensor is not None and tensor.dtype in _KINDS and math.prod(tensor.shape.numpy()) <= MOST


def _store(model: ir.Model, numbers: Mapping[str, Array]) -> None:
    """Stored tensors of these names in the place of the nodes that give them, and of what only these read."""
    graph = model.graph
    measuring = [node for node in graph if node.op_type == "Shape" and not node.domain and node.outputs[0].uses()]
    for node in list(graph):
        used = [value for value in node.outputs if value.uses()]
        if not used or any(value.name not in numbers or value.is_graph_output() for value in used):
            continue
        for value in used:
            array = numbers[str(value.name)]
            tensor = ir.tensor(array, name=value.name)
            new = ir.Value(
                name=value.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
            )
            value.replace_all_uses_with(new)
            value.name = None
            graph.register_initializer(new)
        graph.remove(node, safe=True)
    graph.remove([node for node in measuring if node.graph is graph and not node.outputs[0].uses()], safe=True)
    unread = [n for n in model.meta[LIFTED] if n in graph.initializers and not is_read(graph.initializers[n])]
    for name in unread:
        del graph.initializers[name]
    model.meta[LIFTED] = (model.meta[LIFTED] | numbers.keys()) - set(unread)
    model.meta[MEASURED] = model.meta.get(MEASURED, frozenset()) | numbers.keys()
