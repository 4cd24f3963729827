"""What ONNX's own shape inference says of a model that was not run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import onnx

from analyzer.graph.lend import thin_proto
from analyzer.graph.nested import all_graphs

if TYPE_CHECKING:
    from analyzer.graph.load import LoadedModel

LONGEST = 1 << 24  # entries along an axis, of which something is kept one by one


def inferred_shapes(
    loaded: LoadedModel, given: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Shapes in which every length is known, by value name; a first dim of an input that is free counts as 1.

    `given` are the lengths of inputs, whatever the file declares.

    They follow from the inputs and the stored tensors alone, not from what the file claims of other values.
    """
    proto, _ = thin_proto(loaded)
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, length in zip(dims, (given or {}).get(value.name, ()), strict=False):
            dim.dim_value = length
        for dim in dims:
            if dim.dim_value < 0:  # how some exporters write a free length
                dim.ClearField("dim_value")
        if dims and not dims[0].HasField("dim_value") and value.name not in loaded.graph.defaults:
            dims[0].dim_value = 1
    known = {name: lengths for name, (_, lengths) in inferred(proto).items()}
    return {name: lengths for name, lengths in known.items() if all(0 <= length <= LONGEST for length in lengths)}


def inferred(proto: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and lengths of all values of the main graph whose rank is known; -1 where a length is not.

    They follow from what `proto` says of its inputs; what it says of other values, at any depth, is taken out.
    """
    return {
        name: (kind, tuple(length if isinstance(length, int) else -1 for length in lengths))
        for name, (kind, lengths) in named_lengths(proto).items()
    }


def named_lengths(proto: onnx.ModelProto) -> dict[str, tuple[int, tuple[int | str | None, ...]]]:
    """The same with the names of lengths that are no numbers, declared or found: of one name, one length."""
    for graph in all_graphs(proto):  # lengths that the file claims, and nobody checked
        for value in (*graph.output, *(graph.input if graph is not proto.graph else ())):
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
        del graph.value_info[:]
    with suppress(Exception):  # inference refuses what it does not know; knowing less is safe
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    found: dict[str, tuple[int, tuple[int | str | None, ...]]] = {}
    for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            lengths = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
            found.setdefault(value.name, (tensor.elem_type, lengths))
    return found
