"""Outputs whose types onnx-ir cannot hold (maps, as scikit-learn's classifiers give) keep them beside the model."""

from __future__ import annotations

import onnx

UNDESCRIBED = "deadunits.undescribed"  # key of the descriptions in a model's `meta`, by value name


def set_aside(proto: onnx.ModelProto) -> dict[str, bytes]:
    """Take the types that hold maps out of the descriptions of values; returns those of the outputs as bytes."""
    kept = [info for info in proto.graph.value_info if not _holds_map(info.type)]
    if len(kept) < len(proto.graph.value_info):
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(kept)
    descriptions: dict[str, bytes] = {}
    for value in proto.graph.output:
        if _holds_map(value.type):
            descriptions[value.name] = value.SerializeToString(deterministic=True)
            value.ClearField("type")
    return descriptions


def put_back(proto: onnx.ModelProto, descriptions: dict[str, bytes]) -> None:
    """The inverse of `set_aside` for the outputs that are left."""
    for value in proto.graph.output:
        if value.name in descriptions:
            value.ParseFromString(descriptions[value.name])


def _holds_map(kind: onnx.TypeProto) -> bool:
    match kind.WhichOneof("value"):
        case "map_type":
            return True
        case "sequence_type":
            return _holds_map(kind.sequence_type.elem_type)
        case "optional_type":
            return _holds_map(kind.optional_type.elem_type)
    return False
