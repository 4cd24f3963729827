"""The module of the training code in which a node was written, as far as its exporter left it in the file.

PyTorch's dynamo exporter writes the path as metadata, its TorchScript predecessor into the names of nodes and values
(`/layers.0/mlp/mlp.1/Relu`), tf2onnx keeps TensorFlow's scopes (`StatefulPartitionedCall/model/dense_1/Relu`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx_ir as ir

LONGEST_SCOPE = 500  # characters of a path; a longer one is no name
NAME_SCOPES = "pkg.torch.onnx.name_scopes"  # ['', 'layers.0', 'layers.0.fc1', 'linear_1'], the last one no module
_SCOPES = re.compile(r"\[''(?:, '[^'\\]*')+\]")
_TORCHSCRIPT = re.compile(r"/((?:[^/]+/)*)[^/]+")
_TENSORFLOW_CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_COUNTED = re.compile(r"_\d+$")  # by Keras 3 when it exports, every name once more: `dense` is then `dense_1`
_INSIDE_KERAS_LAYERS = {"batchnorm", "Tensordot", "einsum", "convolution"}


def scopes_of(nodes: Sequence[ir.Node], producer: str) -> list[str | None]:
    """Per node the path of its module with dots between, empty for the model itself; None where nothing tells."""
    found = [_torch_scope(node) for node in nodes]
    if "tf2onnx" in producer or any((node.name or "").startswith("StatefulPartitionedCall/") for node in nodes):
        scopes = [_tensorflow_scope(node.name or "") for node in nodes]
        first = {scope[0] for scope in scopes if scope}
        model = len(first) == 1 and all(scope is None or len(scope) != 1 for scope in scopes)  # its name, as a scope
        layers = {scope[1] for scope in scopes if scope and len(scope) > 1}
        if model and _COUNTED.search(first.pop()) and all(map(_COUNTED.search, layers)):
            scopes = [None] * len(scopes)
        found = [None if scope is None else ".".join(scope[model:]) for scope in scopes]
    return [None if scope is None or len(scope) > LONGEST_SCOPE else scope for scope in found]


def _torch_scope(node: ir.Node) -> str | None:
    written = node.metadata_props.get(NAME_SCOPES)
    if written is not None:
        return re.findall("'([^']*)'", written)[-2] if _SCOPES.fullmatch(written) else None
    values = (re.sub(r"_output_\d+$", "", value.name or "") for value in node.outputs if value.name)
    match = next((match for name in (node.name or "", *values) if (match := _TORCHSCRIPT.fullmatch(name))), None)
    return None if match is None else _joined(match[1].split("/")[:-1])


def _joined(parts: Sequence[str]) -> str:
    """`layers.0`, `mlp`, `mlp.1` is `layers.0.mlp.1`: children of a Sequential repeat its name."""
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)


def _tensorflow_scope(name: str) -> list[str] | None:
    if "/" not in name:
        return None
    parts = [part for part in name.split("/")[:-1] if not _TENSORFLOW_CALL.fullmatch(part)]
    while parts and parts[-1] in _INSIDE_KERAS_LAYERS:
        parts.pop()
    return parts
