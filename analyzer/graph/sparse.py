"""Stored tensors that a file holds sparsely are made dense, as onnxruntime makes them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from analyzer.errors import ModelError
from analyzer.graph.nested import all_graphs
from analyzer.graph.validate import DAMAGED

LARGEST = 1 << 30  # bytes of all of them; a few bytes of file can ask for any size


def make_dense(proto: onnx.ModelProto, where: str) -> None:
    """Replace sparse initializers, and Constant nodes with a sparse value, of all graphs and functions.

    Raises:
        ModelError: one is damaged, keeps its data elsewhere, or would take too much memory.
    """
    room = _Room(where)
    for graph in all_graphs(proto):
        if isinstance(graph, onnx.GraphProto):
            graph.initializer.extend([room.dense(sparse, sparse.values.name) for sparse in graph.sparse_initializer])
            del graph.sparse_initializer[:]
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "sparse_value":
                    dense = room.dense(attribute.sparse_tensor, node.output[0] if node.output else "")
                    attribute.CopyFrom(helper.make_attribute("value", dense))


class _Room:
    """The memory that is left for dense copies."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._left = LARGEST

    def dense(self, sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
        """The same tensor with all its zeros."""
        label = f"{self.where}: sparse tensor {name or '(no name)'}"
        parts = (sparse.values, sparse.indices)
        if any(part.data_location == onnx.TensorProto.EXTERNAL for part in parts):
            raise ModelError(f"{label} keeps its data in another file, which is not read: store it inside or densely.")
        try:
            values, indices = (numpy_helper.to_array(part) for part in parts)
            flat = _positions(indices, values, tuple(sparse.dims))
        except Exception as error:  # onnx and NumPy raise many kinds on a damaged tensor
            raise ModelError(f"{label} is not what its shape {list(sparse.dims)} says: {DAMAGED}.") from error
        elements = prod(sparse.dims)
        self._left -= elements * values.dtype.itemsize
        if self._left < 0:
            raise ModelError(f"{label} takes more than {LARGEST >> 30} GiB of zeros in memory: store it densely.")
        full = np.zeros(elements, values.dtype)
        full[flat] = values
        return numpy_helper.from_array(full.reshape(tuple(sparse.dims)), name)


def _positions(
    indices: np.ndarray[Any, np.dtype[Any]], values: np.ndarray[Any, np.dtype[Any]], shape: tuple[int, ...]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each value goes in the flat array; given so, or by a position along each axis.

    Raises:
        ValueError: a position lies outside, or there is not one for each value.
    """
    if indices.ndim == 2:
        indices = np.ravel_multi_index(tuple(indices.T), shape)
    flat = np.asarray(indices, np.int64)
    if min(shape, default=1) < 0 or flat.shape != values.shape or values.ndim != 1 or values.dtype.kind in "OSU":
        raise ValueError
    if flat.size and not (flat.min() >= 0 and int(flat.max()) < prod(shape)):
        raise ValueError
    return flat
