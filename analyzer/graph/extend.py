"""Add nodes and outputs to a model for one run, without changing the loaded model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from analyzer.graph.load import LoadedModel

Array = np.ndarray[Any, np.dtype[Any]]


class Extension:
    """A model with extra nodes, ready to be handed to a session.

    The original outputs stay unless `only_new_outputs` is asked for; weights that lie in external files are
    referred to, not copied.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._proto = ir.to_proto(loaded.model)
        self._names = 0
        self.folder: Path | None = loaded.folder
        self.opset = loaded.graph.opsets.get("", 1)

    def free_batch(self, inputs: Sequence[str], name: str = "deadunits_batch") -> None:
        """Make axis 0 of these inputs free and forget all declared inner and output shapes."""
        for value in self._proto.graph.input:
            if value.name in inputs and value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_param = name
        for value in self._proto.graph.output:
            value.type.tensor_type.ClearField("shape")
        del self._proto.graph.value_info[:]

    def constant(self, array: Array) -> str:
        """Store an array; returns its value name."""
        name = self._fresh("const")
        self._proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(
        self, op_type: str, inputs: Sequence[str], *, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Append a node; returns the name of its first output."""
        names = [self._fresh(op_type) for _ in range(outputs)]
        node = helper.make_node(op_type, list(inputs), names, name=names[0], domain=domain, **attributes)
        self._proto.graph.node.append(node)
        return names[0]

    def output(self, name: str) -> None:
        """Make a value an output of the graph (its type is left to onnxruntime)."""
        self._proto.graph.output.append(helper.make_empty_tensor_value_info(name))

    def drop_outputs(self) -> None:
        """Forget the original outputs."""
        del self._proto.graph.output[:]

    def serialize(self) -> bytes:
        """The bytes of the extended model."""
        return self._proto.SerializeToString()

    @property
    def proto(self) -> onnx.ModelProto:
        """The extended model as protobuf."""
        return self._proto

    def _fresh(self, stem: str) -> str:
        self._names += 1
        return f"deadunits/{stem}/{self._names}"
