"""Where a model is taken apart, and what each part has."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.graph.lend import runnable
from analyzer.graph.parts import Parts
from analyzer.graph.runnable import Runnable
from analyzer.runtime import in_parts
from analyzer.runtime.in_parts import run_in_parts
from analyzer.runtime.loading import load_model
from analyzer.runtime.session import Session

WIDTH, BYTES = 64, 64 * 64 * 4  # of a square weight


def _chain(nodes: list[onnx.NodeProto], outputs: list[str], weights: int, **stored: np.ndarray) -> Runnable:
    rng = np.random.default_rng(0)
    arrays = {f"w{i}": rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for i in range(weights)} | stored
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return runnable(load_model(model.SerializeToString()))


def _residual(blocks: int) -> list[onnx.NodeProto]:
    """Blocks of two products around a ReLU, added to the stream `h0`, `h1`, …; `mask` goes into all of them."""
    node = helper.make_node
    nodes = [node("Abs", ["x"], ["h0"]), node("ReduceMax", ["x"], ["mask"], keepdims=1)]
    for i in range(blocks):
        nodes += [
            node("MatMul", [f"h{i}", f"w{2 * i}"], [f"up{i}"]),
            node("Relu", [f"up{i}"], [f"act{i}"]),
            node("Mul", [f"act{i}", "mask"], [f"masked{i}"]),
            node("MatMul", [f"masked{i}", f"w{2 * i + 1}"], [f"down{i}"]),
            node("Add", [f"h{i}", f"down{i}"], [f"h{i + 1}"]),
        ]
    return nodes


def _same(model: Runnable, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    feeds = {"x": np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)}
    with Session(model) as session:
        whole = session.run(feeds)
    monkeypatch.setattr(in_parts, "PART", size)
    with run_in_parts(True), Session(model) as session:
        assert session.in_parts
        assert session.output_types == dict.fromkeys(whole, "float32")
        parts, again = session.run(feeds), session.run_each([feeds, feeds])
        assert [*session.run(feeds, [session.output_names[0]])] == [session.output_names[0]]
    for result in (parts, *again):
        for name, array in whole.items():
            np.testing.assert_array_equal(result[name], array)


def test_a_part_ends_where_the_fewest_values_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _chain(_residual(6), ["h6"], 12)
    parts = Parts(model, 2 * BYTES).sequence
    assert [{*part.made} for part in parts] == [{"h1", "mask"}, *({f"h{i}"} for i in range(2, 7))]
    assert all(len(part.stored) == 2 for part in parts)
    _same(model, monkeypatch, 2 * BYTES)


def test_a_weight_that_is_too_large_alone_is_a_part_of_its_own() -> None:
    parts = Parts(_chain(_residual(2), ["h2"], 4), BYTES // 2).sequence
    assert sorted(len(part.stored) for part in parts)[-1] == 1
    assert sum(len(part.nodes) for part in parts) == 12


def test_what_reads_values_late_is_run_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every value that something at the end looks at would have to be kept until then."""
    shown = [helper.make_node("ReduceMax", [f"act{i}"], [f"most{i}"], keepdims=0) for i in range(20)]
    model = _chain([*_residual(20), *shown], ["h20", *(f"most{i}" for i in range(20))], 40)
    parts = Parts(model, 4 * BYTES).sequence
    assert len(parts) == 10
    assert {name for part in parts for name in part.read} == {"mask", *(f"h{i}" for i in range(2, 20, 2))}
    _same(model, monkeypatch, 4 * BYTES)


def test_what_stored_tensors_decide_is_made_in_every_part_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    node = helper.make_node
    nodes = [node("Transpose", ["w0"], ["turned"])]
    nodes += [node("MatMul", ["x" if not i else f"y{i - 1}", "turned"], [f"y{i}"]) for i in range(3)]
    nodes += [node("MatMul", ["y2", "w1"], ["y3"]), node("MatMul", ["y3", "turned"], ["y4"])]
    model = _chain(nodes, ["y4", "turned"], 2)
    parts = Parts(model, BYTES).sequence
    assert [[n.op_type for n in part.nodes].count("Transpose") for part in parts] == [1, 0, 1]
    _same(model, monkeypatch, BYTES)


def test_subgraphs_have_what_they_read_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    node = helper.make_node
    kind = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, None)
    then = helper.make_graph([node("MatMul", ["y0", "w1"], ["inner"])], "then", [], [kind])
    orelse = helper.make_graph([node("MatMul", ["y1", "w2"], ["other"])], "else", [], [other])
    nodes = [
        node("MatMul", ["x", "w0"], ["y0"]),
        node("MatMul", ["y0", "w3"], ["y1"]),
        node("ReduceMax", ["y1"], ["top"], keepdims=0),
        node("Greater", ["top", "zero"], ["flag"]),
        node("If", ["flag"], ["z"], then_branch=then, else_branch=orelse),
    ]
    model = _chain(nodes, ["z"], 4, zero=np.zeros((), np.float32))
    assert len(Parts(model, 2 * BYTES + 4).sequence) == 2
    _same(model, monkeypatch, 2 * BYTES + 4)


def test_a_small_model_is_not_taken_apart() -> None:
    assert Parts(_chain(_residual(1), ["h1"], 2), 2 * BYTES).sequence == ()
