"""Small ONNX models for tests, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
from onnx import helper, numpy_helper

from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.ops.context import Context
from analyzer.runtime.loading import load_model

#: The largest weight of which two products with a byte fit into 16 bits, in which processors without 8-bit dot products
#: add them up: with larger ones onnxruntime gives other numbers there, and other ones again for a smaller model.
LARGEST_BYTE = 63

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Mapping[str, Array]


def typed(name: str, array: Array, free: Sequence[int] = ()) -> onnx.ValueInfoProto:
    """A graph input of the array's element type and shape; the dims in `free` are left open."""
    dims = [f"d{axis}" if axis in free else d for axis, d in enumerate(array.shape)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), dims)


def build(
    nodes: Sequence[onnx.NodeProto],
    feeds: Feeds,
    stored: Mapping[str, Array],
    outputs: Sequence[str],
    opset: int = 18,
    domains: Mapping[str, int] | None = None,
    free: Sequence[int] = (),
) -> onnx.ModelProto:
    """A model of these nodes: `feeds` give the inputs' types, `stored` the initializers."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [typed(n, a, free) for n, a in feeds.items()],
        [helper.make_empty_tensor_value_info(o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in stored.items()],
    )
    named = {"": opset, **(domains or {})}
    opsets = [helper.make_opsetid(d, v) for d, v in named.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def parse(text: str, stored: Mapping[str, Array] | None = None, opset: int = 18) -> onnx.ModelProto:
    """A model from ONNX text `name (inputs) => (outputs) {...}`, with weights beside it."""
    header = f'<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = onnx.parser.parse_model(header + text)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in (stored or {}).items())
    return model


def session(model: onnx.ModelProto, optimize: bool = False) -> ort.InferenceSession:
    """A quiet session on one thread, by default of exactly these nodes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Array]:
    """The model's outputs."""
    names = [o.name for o in model.graph.output]
    return dict(zip(names, session(model).run(names, dict(feeds)), strict=True))


def all_values(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Array]:
    """Every value that some node computes, and the feeds."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    given = {o.name for o in wide.graph.output}
    names = [o for node in wide.graph.node for o in node.output if o]
    wide.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in given)
    return {**feeds, **run(wide, feeds)}


def shape_table(model: onnx.ModelProto, feeds: Feeds, sample_axis: int | None = 0) -> ShapeTable:
    """Shapes as onnxruntime shows them; samples lie along `sample_axis` of the inputs and of what has its length."""
    values = all_values(model, feeds)
    shapes = {n: a.shape for n, a in values.items()}
    axes = {n: SampleAxis(sample_axis if s and s[0] == 1 else None) for n, s in shapes.items()}
    return ShapeTable(shapes, axes, dtypes={n: a.dtype.name for n, a in values.items()})


def context(model: onnx.ModelProto, feeds: Feeds) -> Context:
    """The graph as the rules see it."""
    return Context(load_model(model).graph, shape_table(model, feeds))


def branching() -> onnx.ModelProto:
    """A choice that few samples may make otherwise than the others: by whether their numbers add up to more than 0."""
    return parse(
        """g (float[1, 3] x) => (float[1, 3] y) {
        s = ReduceSum<keepdims=0>(x)
        b = Greater(s, nothing)
        y = If(b) <
            then_branch = t () => (float[1, 3] p) { a = Relu(x)
                p = Identity(a) },
            else_branch = e () => (float[1, 3] q) { q = Neg(x) }>
        }""",
        {"nothing": np.array(0, np.float32)},
    )
