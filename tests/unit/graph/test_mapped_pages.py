"""Weights are read from mapped files, and cut when they are read: neither pages nor copies of them stay in memory."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from analyzer.graph import Editor
from analyzer.graph.deferred import LARGE, Deferred
from analyzer.graph.mapped_pages import let_go, on_disk, pages
from analyzer.ops.node_edit import cut_array, cut_when_read
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session

WIDTH = 2048
BYTES = WIDTH * WIDTH * 4


def _model(folder: Path, name: str = "w.bin", start: int = 0) -> Path:
    """A product with a weight of 16 MiB in a file of this name, behind so many other bytes."""
    weight = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    (folder / name).write_bytes(bytes(start) + weight.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weight.shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": name, "offset": start, "length": weight.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", WIDTH]) for n in ("x", "z")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [tensor])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.skipif(not pages(), reason="the system does not say what pages a process has")
def test_pages_that_were_read_are_let_go_and_read_again(tmp_path: Path) -> None:
    graph = load_model(_model(tmp_path)).graph
    weight = graph.constant("w")
    assert weight is not None
    let_go()
    before, total = pages(), float(weight.sum())
    held = pages()
    let_go()
    assert held - before > BYTES / 2
    assert pages() - before < BYTES / 4
    assert float(weight.sum()) == total


def test_a_cut_of_a_large_weight_is_made_when_it_is_read(tmp_path: Path) -> None:
    loaded = load_model(_model(tmp_path))
    weight = loaded.graph.constant("w")
    assert weight is not None
    vectors = [np.arange(WIDTH) % 3 > 0, np.arange(WIDTH) > 5]
    cut = cut_when_read(weight, vectors)
    assert isinstance(cut, Deferred)
    expected = cut_array(weight, vectors)
    assert (cut.shape, cut.dtype) == (expected.shape, expected.dtype)
    editor = Editor(loaded.copy())
    editor.set_tensor("w", cut)
    tensor = editor.loaded.model.graph.initializers["w"].const_value
    assert isinstance(tensor, ir.LazyTensor)
    assert tensor.nbytes == expected.nbytes
    np.testing.assert_array_equal(tensor.numpy(), expected)
    again = editor.loaded.refreshed().graph.constant("w")
    np.testing.assert_array_equal(again, expected)


def test_columns_that_are_cleared_are_zero_in_what_is_left() -> None:
    weight = np.random.default_rng(0).normal(size=(1100, 1200)).astype(np.float32)
    assert weight.nbytes > LARGE
    vectors, columns = [np.arange(1100) > 7, np.arange(1200) % 2 == 0], (np.arange(1200) < 10)[np.newaxis]
    cut = cut_when_read(weight, vectors, columns)
    assert isinstance(cut, Deferred)
    np.testing.assert_array_equal(cut.make(), cut_array(np.where(columns, 0, weight), vectors))
    small = cut_when_read(weight[:20, :20], [v[:20] for v in vectors], columns[:, :20])
    np.testing.assert_array_equal(
        small, cut_array(np.where(columns[:, :20], 0, weight[:20, :20]), [v[:20] for v in vectors])
    )


def test_an_array_on_disk_lives_as_long_as_it_is_used() -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    mapped = on_disk(array)
    part = mapped[1:]
    del mapped
    gc.collect()
    let_go()
    np.testing.assert_array_equal(part, array[1:])


def test_weights_lie_in_safetensors_shards_as_well(tmp_path: Path) -> None:
    """Such a file is a header, then plain bytes: external data may point into it."""
    header = b'{"w":{"dtype":"F32","shape":[2048,2048],"data_offsets":[0,16777216]}}   '
    start = 8 + len(header)
    loaded = load_model(_model(tmp_path, "model-00001-of-00002.safetensors", start))
    x = np.ones((1, WIDTH), np.float32)
    with Session(loaded) as session:
        shown = session.run({"x": x})["z"]
    weight = loaded.graph.constant("w")
    assert weight is not None
    np.testing.assert_allclose(shown, np.maximum(x @ weight, 0), rtol=1e-3, atol=1e-3)
