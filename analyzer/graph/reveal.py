"""Models that give out more, or something else: all values or their shapes (no graph is copied for that), or some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
import onnx
from onnx.helper import np_dtype_to_tensor_dtype, tensor_dtype_to_np_dtype

from analyzer.graph.edit import Editor
from analyzer.graph.lend import thin_runnable
from analyzer.graph.load import LoadedModel
from analyzer.graph.names import Names, names_of
from analyzer.graph.part_of import part_of
from analyzer.graph.runnable import Runnable, weights_of

#: Element types that NumPy has, by their numbers in ONNX.
_NUMPY = frozenset(
    int(np_dtype_to_tensor_dtype(np.dtype(f"{kind}{bits}")))
    for kind, sizes in {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}.items()
    for bits in sizes
) | {onnx.TensorProto.BOOL}


class Revealer:
    """Makes models that give out more than the original; what is within subgraphs cannot be given out."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._proto, self._folder, self._lent = thin_runnable(loaded)
        self._values = [name for name in loaded.graph.producer if name not in loaded.graph.inside]
        self._names = names_of(loaded.model.graph)
        self._stated: list[onnx.ValueInfoProto] = []

    def state_types(self) -> dict[str, str] | None:
        """State the element type of every value in the model, for onnxruntime to check; NumPy names by value.

        None, and nothing is stated, where ONNX's inference does not know all of them, the file says otherwise, or NumPy
        does not have one of them.
        """
        inferred = self._proto
        with suppress(Exception):  # inference refuses what it does not know
            inferred = onnx.shape_inference.infer_shapes(self._proto)
        described = (*self._proto.graph.value_info, *self._proto.graph.output)
        stated = {value.name: value.type.tensor_type.elem_type for value in described}
        made, numbers, unstated = {*self._values}, dict[str, int](), list[onnx.ValueInfoProto]()
        for value in (*inferred.graph.value_info, *inferred.graph.output):
            if value.name in made:
                numbers[value.name] = number = value.type.tensor_type.elem_type
                if value.name not in stated:
                    value.type.tensor_type.ClearField("shape")
                    unstated.append(value)
                elif stated[value.name] != number:
                    return None
        if len(numbers) < len(made) or not _NUMPY.issuperset(numbers.values()):
            return None
        self._stated = unstated
        named = {number: np.dtype(tensor_dtype_to_np_dtype(number)).name for number in {*numbers.values()}}
        return {name: named[number] for name, number in numbers.items()}

    def forget_types(self) -> None:
        """State no more than the file does."""
        self._stated = []

    def every_value(self) -> Runnable:
        """The model with every value that a node computes among its outputs."""
        given = {value.name for value in self._proto.graph.output}
        return self._with([], [name for name in self._values if name not in given])

    def shapes(self, values: Sequence[str]) -> tuple[Runnable, dict[str, str]]:
        """The model with the shapes of these values among its outputs, and the names of those by value.

        A shape has the name of the node that takes it.
        """
        names = Names(self._names)
        shown = {value: names.fresh("deadunits/Shape") for value in values}
        nodes = [onnx.NodeProto(name=name, op_type="Shape", input=[v], output=[name]) for v, name in shown.items()]
        return self._with(nodes, [*shown.values()]), shown

    def _with(self, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> Runnable:
        graph = self._proto.graph
        before = len(graph.node), len(graph.output), len(graph.value_info)
        graph.node.extend(nodes)
        graph.value_info.extend(self._stated)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        content = self._proto.SerializeToString()
        del graph.node[before[0] :], graph.output[before[1] :], graph.value_info[before[2] :]
        return Runnable(content, self._folder, self._lent, weights=weights_of(graph))


def showing(loaded: LoadedModel, names: Iterable[str]) -> LoadedModel:
    """A copy of the model with these values among its outputs."""
    editor = Editor(loaded.copy())
    editor.output(*names)
    return editor.loaded


def computing(loaded: LoadedModel, names: Iterable[str]) -> tuple[LoadedModel, dict[str, str]]:
    """A copy of the model that computes these values alone, and the names of the outputs that they are."""
    names = [*names]
    editor = Editor(part_of(loaded, names))
    shown = {name: editor.again(name) for name in names}
    editor.output(*shown.values())
    editor.finish()
    return editor.loaded, shown
