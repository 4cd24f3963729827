"""A copy of a model's file with notes on its nodes, which viewers such as Netron show."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from analyzer.graph.nested import all_graphs


def annotated(raw: bytes, notes: Mapping[str, Mapping[str, str]]) -> bytes:
    """The file with entries in `metadata_props` of the nodes that make these values; else it is as it was.

    Entries of the same keys that are there already are replaced.
    """
    proto = onnx.ModelProto.FromString(raw)
    for graph in all_graphs(proto):
        for node in graph.node:
            for value in node.output:
                for key, text in notes.get(value, {}).items():
                    kept = [entry for entry in node.metadata_props if entry.key != key]
                    del node.metadata_props[:]
                    node.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=key, value=text)])
    return proto.SerializeToString()
