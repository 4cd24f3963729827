"""What ONNX's own shape inference says of a model that was not run."""

from __future__ import annotations

from contextlib import suppress

import onnx

from analyzer.graph.lend import thin_proto
from analyzer.graph.load import LoadedModel


def inferred_shapes(loaded: LoadedModel) -> dict[str, tuple[int, ...]]:
    """Shapes in which every length is known, by value name; a first dim of an input that is free counts as 1."""
    proto, _ = thin_proto(loaded)
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value") and value.name not in loaded.graph.defaults:
            dims[0].dim_value = 1
    with suppress(Exception):  # inference refuses what it does not know; knowing less is safe
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    shapes: dict[str, tuple[int, ...]] = {}
    for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") and d.dim_value >= 0 for d in tensor.shape.dim):
            shapes.setdefault(value.name, tuple(d.dim_value for d in tensor.shape.dim))
    return shapes
