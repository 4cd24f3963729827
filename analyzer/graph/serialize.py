"""A model as the bytes of an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from analyzer.graph.map_outputs import UNDESCRIBED, put_back
from analyzer.graph.unnamed_outputs import UNNAMED, leave_out

if TYPE_CHECKING:
    from analyzer.graph.load import LoadedModel


def serialize(loaded: LoadedModel) -> bytes:
    """The model as bytes of an ONNX file, the same bytes for the same model."""
    proto = ir.to_proto(loaded.model)
    stored = {tensor.name for tensor in proto.graph.initializer}
    kept = [info for info in proto.graph.value_info if info.name not in stored]
    del proto.graph.value_info[:]  # a stored tensor states its type and shape itself
    proto.graph.value_info.extend(kept)
    put_back(proto, loaded.model.meta.get(UNDESCRIBED, {}))
    leave_out(proto, loaded.model.meta.get(UNNAMED, ()))
    return bytes(proto.SerializeToString(deterministic=True))
