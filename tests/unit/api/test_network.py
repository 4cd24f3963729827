"""The network as a picture: what gets a box, and what is folded away."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.api.network import MOST_OPERATORS, picture_of
from analyzer.facts.picture import GraphPicture, Role
from analyzer.runtime.loading import load_model
from tests.models import parse


def chain(layers: int) -> onnx.ModelProto:
    """Gemm and Relu, over and over, with a skip connection over the last two."""
    nodes, last = [], "x"
    for i in range(layers):
        nodes += [helper.make_node("Gemm", [last, "w"], [f"g{i}"]), helper.make_node("Relu", [f"g{i}"], [f"r{i}"])]
        last = f"r{i}"
    nodes.append(helper.make_node("Add", [last, f"r{layers - 3}"], ["sum"]))
    nodes.append(helper.make_node("Exp", ["sum"], ["y"]))
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def drawn(model: onnx.ModelProto, audited: list[str]) -> GraphPicture:
    return picture_of(load_model(model).graph, audited)


def links(picture: GraphPicture) -> set[tuple[str, str]]:
    def label(index: int) -> str:
        node = picture.nodes[index]
        return node.value or (node.ops[0] if node.ops else node.name)

    return {(label(a), label(b)) for a, b in picture.edges}


def test_a_small_model_is_drawn_whole() -> None:
    picture = drawn(chain(3), ["r0", "r1", "r2"])
    assert picture.whole
    assert [node.role for node in picture.nodes].count(Role.LAYER) == 3
    assert ("Gemm", "r0") in links(picture)
    assert ("r0", "Add") in links(picture)


def test_a_large_model_is_drawn_as_layers_and_joins() -> None:
    layers = MOST_OPERATORS
    picture = drawn(chain(layers), [f"r{i}" for i in range(layers)])
    assert not picture.whole
    assert {node.role for node in picture.nodes} == {Role.INPUT, Role.LAYER, Role.JOIN, Role.OUTPUT}
    assert links(picture) >= {
        ("x", "r0"),
        ("r0", "r1"),
        (f"r{layers - 1}", "Add"),
        (f"r{layers - 3}", "Add"),
        ("Add", "y"),
    }
    assert picture.nodes[1].ops == ("Gemm", "Relu")


@pytest.mark.parametrize("layers", [3, 40])
def test_edges_lead_from_earlier_to_later_boxes(layers: int) -> None:
    picture = drawn(chain(layers), [f"r{i}" for i in range(layers)])
    assert all(a < b for a, b in picture.edges)


def test_what_only_computes_shapes_is_no_data() -> None:
    model = parse("""
        g (float[n, 4] x) => (float[n, 4] y) {
            s = Shape(x)
            r = Relu(x)
            y = Reshape(r, s)
        }""")
    assert links(drawn(model, ["r"])) == {("x", "r"), ("r", "Reshape"), ("Reshape", "y")}
