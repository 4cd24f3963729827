"""ONNX files in, a plain graph view out; the only package that touches ONNX files and protobuf."""

import analyzer.graph.lazy_sympy  # noqa: F401  (before anything imports onnx-ir)
from analyzer.graph.edit import Editor
from analyzer.graph.load import LoadedModel, read_model
from analyzer.graph.scopes import LONGEST_SCOPE
from analyzer.graph.serialize import serialize
from analyzer.graph.subgraphs import Role
from analyzer.graph.view import Graph, Node, TensorType, element_type
from analyzer.graph.widened import widen_stored

__all__ = [
    "LONGEST_SCOPE",
    "Editor",
    "Graph",
    "LoadedModel",
    "Node",
    "Role",
    "TensorType",
    "element_type",
    "read_model",
    "serialize",
    "widen_stored",
]
