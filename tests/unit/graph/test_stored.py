"""Large weights stay in the model's file: mapped for us, read from there by onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.errors import ModelError
from analyzer.graph import serialize
from analyzer.graph.lend import runnable
from analyzer.graph.stored import ModelFile, StoredTensor, UnusualFile, skeleton
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session

RANDOM = np.random.default_rng(0)
LARGE = RANDOM.standard_normal((64, 64)).astype(np.float32)
SMALL = RANDOM.standard_normal(64).astype(np.float32)
X = RANDOM.standard_normal((3, 64)).astype(np.float32)


def model(*extra: onnx.TensorProto) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    stored = [numpy_helper.from_array(LARGE, "w"), numpy_helper.from_array(SMALL, "b"), *extra]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 64]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model().SerializeToString())
    return path


def test_large_weights_are_views_of_the_file_and_small_ones_are_read(path: Path) -> None:
    loaded = load_model(path)
    tensors = {n: v.const_value for n, v in loaded.model.graph.initializers.items()}
    assert isinstance(tensors["w"], StoredTensor)
    assert not isinstance(tensors["b"], StoredTensor)
    weights = loaded.graph.constant("w")
    assert weights is not None
    assert np.array_equal(weights, LARGE)
    assert not weights.flags.writeable


def test_a_file_and_its_bytes_load_alike(path: Path) -> None:
    from_file, from_bytes = load_model(path), load_model(path.read_bytes())
    assert from_file.sha256 == from_bytes.sha256
    assert from_file.size == from_bytes.size
    assert from_file.raw == from_bytes.raw
    assert serialize(from_file) == serialize(from_bytes)


def test_onnxruntime_reads_the_weights_from_the_file_itself(path: Path) -> None:
    loaded = load_model(path)
    assert not runnable(loaded).lent
    assert len(runnable(loaded).content) < 2000
    with Session(loaded) as session:
        assert np.allclose(session.run({"x": X})["y"], X @ LARGE + SMALL, atol=1e-4)


def test_a_link_to_the_file_will_do(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "linked.onnx"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("no links here")
    with Session(load_model(link)) as session:
        assert session.run({"x": X})["y"].shape == (3, 64)


def test_weights_are_read_again_after_their_memory_was_given_back(path: Path) -> None:
    loaded = load_model(path)
    before = loaded.graph.constant("w")
    assert before is not None
    loaded.release()
    assert np.array_equal(before, LARGE)


def test_a_file_that_was_replaced_is_refused(path: Path) -> None:
    loaded = load_model(path)
    other = path.with_suffix(".other")
    other.write_bytes(model().SerializeToString() + b"")
    os.utime(other, (1, 1))
    other.replace(path)
    with pytest.raises(ModelError, match="has changed since it was loaded"):
        runnable(loaded)


def test_a_copy_to_edit_shares_the_weights(path: Path) -> None:
    loaded = load_model(path)
    copy = loaded.copy()
    assert copy.model is not loaded.model
    assert copy.sha256 == loaded.sha256
    tensors = [m.model.graph.initializers["w"].const_value for m in (loaded, copy)]
    assert tensors[0] is tensors[1]


def test_a_damaged_file_is_told_from_an_unusual_one(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnusualFile):
        skeleton(ModelFile(path).mapping)
    with pytest.raises(ModelError, match="truncated"):
        load_model(path)


def test_a_tensor_with_too_few_bytes_is_not_mapped(path: Path) -> None:
    short = numpy_helper.from_array(np.zeros(5000, np.float32), "s")
    short.dims[0] = 6000
    path.write_bytes(model(short).SerializeToString())
    with pytest.raises(ModelError, match="stored tensor s does not hold as much data"):
        load_model(path)
