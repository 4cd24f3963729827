"""Stored tensors that a caller may override stay, though nothing reads them any more."""

from __future__ import annotations

import onnx_ir as ir

from analyzer.graph.load import LoadedModel


def restore_defaults(original: LoadedModel, smaller: LoadedModel) -> None:
    """Put defaults back that nothing reads any more, so that the model is called as before; in the original's order.

    These are stored tensors that are inputs as well: from IR version 4 on, whoever calls may override them.
    """
    inputs, stored = smaller.model.graph.inputs, smaller.model.graph.initializers
    names = {str(value.name) for value in inputs}
    for place, value in enumerate(original.model.graph.inputs):
        name = str(value.name)
        if name in names or name not in original.graph.defaults:
            continue
        tensor = ir.Value(name=name, shape=value.shape, type=value.type, const_value=value.const_value)
        inputs.insert(place, tensor)
        stored[name] = tensor
