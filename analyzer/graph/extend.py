"""Add nodes and outputs to a model for one run, without changing the loaded model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from analyzer.graph.external_files import gathered
from analyzer.graph.load import LoadedModel, external_files
from analyzer.graph.stored import StoredTensor
from analyzer.graph.validate import all_tensors

Array = np.ndarray[Any, np.dtype[Any]]


SHARED_BYTES = 4096  # tensors from this size on are lent to the session instead of being copied into the proto
SHARED_LOCATION = "lent-by-deadunits"


class Extension:
    """A model with extra nodes, ready to be handed to a session.

    The original outputs stay unless `drop_outputs` is called; weights that lie in external files are referred to,
    not copied. With `share` large weights inside the file are not copied either: the proto refers to their place in
    the model's file, and where there is none, only names them: `lent` holds their arrays, which whoever runs the
    proto has to hand over.

    Raises:
        ModelError: with `share`, the file is gone or has changed since it was loaded.
    """

    def __init__(self, loaded: LoadedModel, *, share: bool = False) -> None:
        self.lent: dict[str, Array] = {}
        if share:
            loaded.release()
        with _weights_left_out(loaded.model, self.lent) if share else nullcontext():
            self._proto = ir.to_proto(loaded.model)
        self._names = 0
        self.folder = self._gather(loaded)
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

    def add(self, op_type: str, inputs: Sequence[str], *, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Append a node; returns the name of its first output."""
        names = [self._fresh(op_type) for _ in range(outputs)]
        node = helper.make_node(op_type, list(inputs), names, name=names[0], domain=domain, **attributes)
        self._proto.graph.node.append(node)
        return names[0]

    def input(self, stem: str, element_type: int, shape: Sequence[int]) -> str:
        """Add an input of the graph; returns its name."""
        name = self._fresh(stem)
        self._proto.graph.input.append(helper.make_tensor_value_info(name, element_type, list(shape)))
        return name

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

    def _gather(self, loaded: LoadedModel) -> Path | None:
        """Name external data as it lies behind links; returns the folder to name it from."""
        if loaded.folder is None or loaded.path is None:
            return None
        folder, names = gathered(loaded.folder, external_files(loaded.model), loaded.path.resolve())
        for tensor in all_tensors(self._proto):
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = names.get(entry.value, entry.value)
        return folder

    def _fresh(self, stem: str) -> str:
        self._names += 1
        return f"deadunits/{stem}/{self._names}"


@contextmanager
def _weights_left_out(model: ir.Model, lent: dict[str, Array]) -> Iterator[None]:
    """While inside, large tensors of the main graph are mere references; `lent` gets their arrays."""
    originals: list[tuple[ir.Value, ir.TensorProtocol]] = []
    try:
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if not _lendable(tensor):
                continue
            originals.append((value, tensor))
            if isinstance(tensor, StoredTensor):
                value.const_value = tensor.reference()
                continue
            lent[name] = np.ascontiguousarray(tensor.numpy())
            value.const_value = ir.ExternalTensor(
                SHARED_LOCATION, 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=name
            )
        yield
    finally:
        for value, tensor in originals:
            value.const_value = tensor


def _lendable(tensor: ir.TensorProtocol | None) -> TypeGuard[ir.TensorProtocol]:
    """Large, inside the file, and of an element type that NumPy itself knows."""
    if isinstance(tensor, StoredTensor):
        return True
    if tensor is None or isinstance(tensor, ir.ExternalTensor) or tensor.nbytes < SHARED_BYTES:
        return False
    return tensor.dtype != ir.DataType.STRING and tensor.dtype.numpy().kind in "fiub" and tensor.dtype.bitwidth >= 8
