"""ONNX's own node cases as cases of ours: they ship inside the onnx wheel."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from analyzer.graph.load import OLDEST_OPSET
from analyzer.graph.unnamed_outputs import name_first_outputs
from analyzer.ops.operator import all_traits
from tests.laws.benches import Case, positive
from tests.models import Array

NEWEST_OPSET = 25  # what the onnxruntime of this environment implements


@cache
def node_cases() -> dict[str, list[Any]]:
    """Operator -> its cases of one node; expanded cases, of several nodes, under the empty name."""
    from onnx.backend.test.case.node import collect_testcases

    found: dict[str, list[Any]] = {"": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases: list[Any] = list(collect_testcases(None))
    for case in cases:
        nodes = case.model.graph.node
        if len(nodes) == 1:
            found.setdefault(nodes[0].op_type, []).append(case)
        elif case.name.endswith("_expanded") or "_expanded_" in case.name:
            found[""].append(case)
    return found


def plain(array: Any) -> bool:
    """Whether it is an array of an element type that NumPy has itself."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and 0 not in array.shape


def arrays_of(case: Any) -> dict[str, Array] | None:
    """The inputs by name; None when some is no plain array."""
    values = case.data_sets[0][0]
    names = [i.name for i in case.model.graph.input]
    arrays = {n: _array(v) for n, v in zip(names, values, strict=True)}
    return arrays if all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in arrays.values()) else None


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic | int | float) else value


def as_case(case: Any) -> Case | None:
    """The case with its first input fed and all others stored; None when it is not one for the laws."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    name_first_outputs(model)  # as loading does
    node = model.graph.node[0]
    opsets = {o.domain: o.version for o in model.opset_import}
    arrays = arrays_of(case)
    if arrays is None or (node.domain, node.op_type) not in all_traits() or opsets.get("", 7) < OLDEST_OPSET:
        return None
    if not all(output.type.HasField("tensor_type") for output in model.graph.output):
        return None
    if any(attribute.HasField("g") for attribute in node.attribute):  # nodes within are calls of their own
        return None
    arrays = {n: a for n, a in arrays.items() if n in node.input}
    fed = node.input[0] if node.input else ""
    if fed not in arrays or not plain(arrays[fed]):
        return None
    sampler = {fed: positive(arrays[fed].dtype)} if node.op_type in ("Log", "Sqrt", "ReduceLogSum", "Pow") else {}
    spells_lengths = 0 in all_traits()[node.domain, node.op_type].lengths_from
    if spells_lengths:
        sampler = {fed: lambda *_: arrays[fed]}
    others = {o: v for o, v in opsets.items() if o}
    return Case(
        node,
        arrays,
        frozenset(arrays) - {fed},
        min(opsets.get("", NEWEST_OPSET), NEWEST_OPSET),
        others,
        sampler,
        not spells_lengths,
        3e-4,
    )
