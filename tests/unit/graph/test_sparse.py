"""Sparse weights are as good as dense ones; damaged and huge ones are refused before memory is taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import analyzer
from analyzer.errors import ModelError
from analyzer.graph import sparse
from analyzer.runtime.loading import load_model
from tests.models import parse, run

V = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
W = np.zeros((4, 3), np.float32)
W[0, 0], W[1, 1] = 1, 2  # unit 2 has no weight
FLAT, BY_AXIS = [0, 4], [[0, 0], [1, 1]]
NODES = "h = MatMul(x, w)  a = Relu(h)  y = MatMul(a, v) }"


def weights(indices: list[int] | list[list[int]] = FLAT, dims: tuple[int, ...] = (4, 3)) -> onnx.SparseTensorProto:
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    positions = np.array(indices, np.int64)
    return helper.make_sparse_tensor(
        values, helper.make_tensor("i", TensorProto.INT64, positions.shape, positions.ravel()), list(dims)
    )


def initializer(weights: onnx.SparseTensorProto) -> onnx.ModelProto:
    model = parse(f"g (float[N, 4] x) => (float[N, 2] y) {{ {NODES}", {"v": V}, 17)
    model.graph.sparse_initializer.append(weights)
    return model


def constant(weights: onnx.SparseTensorProto) -> onnx.ModelProto:
    model = parse(f"g (float[N, 4] x) => (float[N, 2] y) {{ w = Constant<value_int=0>()  {NODES}", {"v": V}, 17)
    model.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("sparse_value", weights))
    return model


@pytest.mark.parametrize("make", [initializer, constant])
@pytest.mark.parametrize("indices", [FLAT, BY_AXIS])
def test_sparse_weights_are_read_and_cut(
    make: Callable[[onnx.SparseTensorProto], onnx.ModelProto], indices: list[int] | list[list[int]]
) -> None:
    model = make(weights(indices))
    stored = load_model(model).graph.constant("w")
    assert stored is not None
    assert (stored == W).all()
    found = analyzer.audit(model, X)
    assert next(layer for layer in found.layers if layer.audited.op == "Relu").dead == (2,)
    (before,), (after,) = (
        run(m, {"x": X}).values() for m in (model, onnx.ModelProto.FromString(found.prune(latency=False).data))
    )
    assert np.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize(
    ("indices", "dims", "message"),
    [
        ([0, 12], (4, 3), "is not what its shape"),
        ([0, -1], (4, 3), "is not what its shape"),
        ([0, 1, 2], (4, 3), "is not what its shape"),
        ([[0, 0], [0, 3]], (4, 3), "is not what its shape"),
        (FLAT, (4, -3), "is not what its shape"),
        (FLAT, (1 << 40, 3), "takes more than 1 GiB"),
    ],
)
def test_damaged_and_huge_sparse_weights_are_refused(
    indices: list[int] | list[list[int]], dims: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=f"sparse tensor w {message}"):
        load_model(initializer(weights(indices, dims)))


def test_many_sparse_weights_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = initializer(weights())
    monkeypatch.setattr(sparse, "LARGEST", 4 * 3 * 4)
    load_model(model)
    model.graph.sparse_initializer.append(weights())
    with pytest.raises(ModelError, match="of zeros in memory"):
        load_model(model)


def test_sparse_weights_in_another_file_are_refused() -> None:
    outside = weights()
    outside.values.data_location = TensorProto.EXTERNAL
    with pytest.raises(ModelError, match="keeps its data in another file"):
        load_model(initializer(outside))
