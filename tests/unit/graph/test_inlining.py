"""Functions are put where they are called only as far as what comes of that is small."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import analyzer
from analyzer.errors import ModelError
from analyzer.graph import inlining
from tests.models import parse


def calling(bodies: list[list[onnx.NodeProto]]) -> onnx.ModelProto:
    """A model of one call of f0; `bodies` are those of f0, f1, …, each from `a` to `b`."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = [helper.make_function("local", f"f{i}", ["a"], ["b"], body, opsets) for i, body in enumerate(bodies)]
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 4]) for n in "xy")
    graph = helper.make_graph([call(0, "x", "y")], "g", [x], [y])
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)


def call(function: int, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(f"f{function}", [source], [target], domain="local")


def doubling(levels: int) -> onnx.ModelProto:
    relu = helper.make_node("Relu", ["a"], ["b"])
    return calling([*([call(i + 1, "a", "m"), call(i + 1, "m", "b")] for i in range(levels)), [relu]])


def test_functions_that_call_each_other_twice_are_counted_before_they_are_inlined() -> None:
    with pytest.raises(ModelError, match=r"is 1\.07e\+09 nodes .* more than 65536 nodes"):
        analyzer.audit(doubling(30))


def test_up_to_the_limit_functions_are_inlined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlining, "MOST_NODES", 8)
    assert analyzer.audit(doubling(3)).facts.model.nodes == 8
    with pytest.raises(ModelError, match="16 nodes"):
        analyzer.audit(doubling(4))


def test_stored_numbers_of_functions_are_counted_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlining, "MOST_BYTES", 1 << 16)
    weight = numpy_helper.from_array(np.ones((4, 1024), np.float32))
    body = [helper.make_node("Constant", [], ["w"], value=weight), helper.make_node("Relu", ["a"], ["b"])]
    analyzer.audit(calling([[call(1, "a", "m"), call(1, "m", "b")], body]))
    with pytest.raises(ModelError, match="once its functions are put where they are called"):
        analyzer.audit(calling([[call(1, "a", "m"), call(1, "m", "k"), call(1, "k", "l"), call(1, "l", "b")], body]))


def test_calls_in_branches_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlining, "MOST_NODES", 8)
    out = helper.make_tensor_value_info("o", onnx.TensorProto.FLOAT, None)
    branch = helper.make_graph([call(1, "a", "o")], "branch", [], [out])
    chosen = helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)
    condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    relus = [helper.make_node("Relu", ["a" if i == 0 else f"r{i}"], ["b" if i == 3 else f"r{i + 1}"]) for i in range(4)]
    with pytest.raises(ModelError, match="10 nodes"):
        analyzer.audit(calling([[condition, chosen], relus]))


@pytest.mark.parametrize("circle", [1, 2, 3])
def test_functions_that_call_themselves_are_refused(circle: int) -> None:
    with pytest.raises(ModelError, match="calls itself"):
        analyzer.audit(calling([[call((i + 1) % circle, "a", "b")] for i in range(circle)]))


def test_a_function_has_names_of_its_own() -> None:
    """A stored tensor that nothing reads, called as a value inside a function, is not lent to the session."""
    body = onnx.helper.make_function(
        "local", "F", ["p"], ["q"],
        [onnx.helper.make_node("Identity", ["p"], ["big"]), onnx.helper.make_node("Relu", ["big"], ["q"])],
        [onnx.helper.make_opsetid("", 18)],
    )  # fmt: skip
    model = parse("g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }", {"big": np.ones((64, 64), np.float32)})
    model.graph.node[0].CopyFrom(onnx.helper.make_node("F", ["x"], ["y"], domain="local"))
    model.functions.append(body)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    assert analyzer.audit(model.SerializeToString(), {"x": np.ones((9, 4), np.float32)}).layers
