"""However deep something lies in something else, or behind it: audited, or refused in a sentence."""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import analyzer
from analyzer.errors import ModelError
from tests.models import parse
from tests.unit.graph.test_inlining import call, calling

FLOAT = onnx.TensorProto.FLOAT


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes; its own classes write no message that they could not read."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    key = number << 3 | 2
    return (bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])) + length + bytes([size]) + content


def branch(name: bytes, graph: bytes) -> bytes:
    return field(5, field(1, name) + bytes([0xA0, 1, onnx.AttributeProto.GRAPH]) + field(6, graph))


def ifs(depth: int) -> bytes:
    """A Relu of `x` in so many Ifs in one another."""
    inner, made = helper.make_node("Relu", ["x"], ["r0"]).SerializeToString(), "r0"
    for level in range(1, depth + 1):
        output = field(12, helper.make_tensor_value_info(made, FLOAT, None).SerializeToString())
        graph = field(1, inner) + field(2, b"g") + output
        made = f"r{level}"
        inner = helper.make_node("If", ["yes"], [made]).SerializeToString()
        inner += branch(b"then_branch", graph) + branch(b"else_branch", graph if level == 1 else OTHER)
    rest = parse(f"g (float[n, 4] x) => (float[n, 4] y) {{ y = Relu ({made}) }}", {"yes": np.array(True)})
    return field(7, field(1, inner)) + rest.SerializeToString()  # what is parsed together is one message


OTHER = helper.make_graph(
    [helper.make_node("Neg", ["x"], ["e"])], "e", [], [helper.make_tensor_value_info("e", FLOAT, None)]
).SerializeToString()


def test_subgraphs_in_subgraphs() -> None:
    assert analyzer.audit(ifs(12)).facts.units  # of 25, old releases of onnxruntime take minutes
    for depth in (50, 500):
        with pytest.raises(ModelError, match="nested deeper than protobuf follows"):
            analyzer.audit(ifs(depth))


def test_functions_in_functions() -> None:
    relu = helper.make_node("Relu", ["a"], ["b"])
    assert analyzer.audit(calling([*([call(i + 1, "a", "b")] for i in range(50)), [relu]])).facts.units
    with suppress(ModelError):  # newer releases of onnx follow a hundred
        analyzer.audit(calling([*([call(i + 1, "a", "b")] for i in range(500)), [relu]]))


def test_subgraphs_that_functions_put_into_one_another() -> None:
    bodies = []
    for number in range(12):
        made = call(number + 1, "a", "m") if number < 11 else helper.make_node("Relu", ["a"], ["m"])
        for level in range(6):
            output = [helper.make_tensor_value_info(made.output[0], FLOAT, None)]
            graph = helper.make_graph([made], "g", [], output)
            made = helper.make_node("If", ["yes"], [f"m{level}"], then_branch=graph, else_branch=graph)
            if level:
                made.attribute[1].g.ParseFromString(OTHER.replace(b"x", b"a"))
        yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
        bodies.append([yes, made, helper.make_node("Identity", [made.output[0]], ["b"])])
    with pytest.raises(ModelError, match="nested deeper than protobuf follows"):
        analyzer.audit(calling(bodies))


def test_long_chains() -> None:
    """Every walk along a graph goes step by step: calls within calls would end at a thousand."""
    lines, at = [], "x"
    for i in range(130):
        lines.append(
            f"m{i} = MatMul ({at}, w) s{i} = Sigmoid (m{i}) a{i} = Reshape (s{i}, two) b{i} = Reshape (a{i}, one) "
            f"p{i}, q{i} = Split <axis = 1, num_outputs = 2> (b{i}) c{i} = Concat <axis = 1> (q{i}, p{i}) "
            f"e{i} = Add ({at}, c{i}) r{i} = Relu (e{i})"
        )
        at = f"r{i}"
    assert 8 * len(lines) > sys.getrecursionlimit()
    text = f"g (float[n, 4] x) => (float[n, 4] y) {{ {' '.join(lines)} y = MatMul ({at}, w) }}"
    stored = {"w": np.diag([1, 0.5, 1, 0]).astype(np.float32), "two": np.array([0, 2, 2]), "one": np.array([0, 4])}
    audited = analyzer.audit(parse(text, stored), np.random.default_rng(0).standard_normal((8, 4), np.float32))
    assert audited.explain_unit("r0", 1)
