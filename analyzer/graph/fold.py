"""Evaluate one node whose inputs are all known, with the reference implementation that ships with onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

if TYPE_CHECKING:
    from analyzer.graph.view import Node

Array = np.ndarray[Any, np.dtype[Any]]

# Deterministic operators that exporters put between a stored weight and its use, and shape arithmetic.
FOLDABLE = frozenset(
    [
        "Identity",
        "Cast",
        "CastLike",
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Concat",
        "Slice",
        "Gather",
        "Split",
        "Expand",
        "Tile",
        "Shape",
        "Size",
        "ConstantOfShape",
        "Range",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Abs",
        "Sqrt",
        "Reciprocal",
        "Pow",
        "Exp",
        "Floor",
        "Ceil",
        "Round",
        "Max",
        "Min",
        "Mod",
        "Equal",
        "Less",
        "Greater",
        "Not",
        "And",
        "Or",
        "Where",
        "ReduceProd",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "Pad",
        "DequantizeLinear",
    ]
)
LARGEST_FOLD = 1 << 28  # elements; a wrong file must not make us allocate without bound


def fold_node(node: Node, arrays: Sequence[Array | None], opsets: Mapping[str, int]) -> list[Array] | None:
    """The node's outputs, or None when it is not one that we fold or its evaluation fails."""
    if node.domain or node.op_type not in FOLDABLE or _too_large(node, arrays):
        return None
    from onnx.reference import ReferenceEvaluator  # large, and many models have nothing to fold

    proto = helper.make_node(node.op_type, list(node.inputs), list(node.outputs), **dict(node.attributes))
    types = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(node.inputs, arrays, strict=True)
        if a is not None
    ]
    unique = {t.name: t for t in types}
    outputs = [helper.make_empty_tensor_value_info(o) for o in node.outputs]
    graph = helper.make_graph([proto], "fold", list(unique.values()), outputs)
    # The evaluator knows this operator from opset 19 on only; before, it meant the same and allowed less.
    lowest = 19 if node.op_type == "DequantizeLinear" else 1
    version = max(opsets.get("", 1), lowest)
    model = helper.make_model(graph, opset_imports=[onnx.OperatorSetIdProto(version=version)])
    feeds = {n: a for n, a in zip(node.inputs, arrays, strict=True) if a is not None}
    try:
        return [np.asarray(a) for a in ReferenceEvaluator(model).run(None, feeds)]
    except Exception:  # noqa: BLE001 - the evaluator raises anything; not folding is always safe
        return None


def _too_large(node: Node, arrays: Sequence[Array | None]) -> bool:
    if node.op_type in ("Expand", "ConstantOfShape") and arrays[-1] is not None:
        return int(np.prod(np.abs(arrays[-1].astype(np.float64)))) > LARGEST_FOLD
    if node.op_type in ("Range", "Tile", "Pad"):
        return True
    return sum(a.size for a in arrays if a is not None) > LARGEST_FOLD
