"""Parameters are what readers take as contents, of any element type; shapes, axes and indices are none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from analyzer.runtime.loading import load_model
from analyzer.walk.parameters import count_parameters, parameter_names
from tests.models import Array, parse

WHOLE = {"w": np.ones((6, 8), np.int32), "b": np.ones(8, np.int32)}


def test_weights_of_whole_numbers_are_counted() -> None:
    body = "c = Cast<to=6>(x)  m = MatMul(c, w)  a = Add(m, b)  r = Relu(a)  y = Cast<to=1>(r)"
    graph = load_model(parse(f"g (float[n, 6] x) => (float[n, 8] y) {{ {body} }}", WHOLE)).graph
    assert count_parameters(graph) == 6 * 8 + 8


@pytest.mark.parametrize(
    "body",
    [
        "y = Reshape(x, k)",
        "t = Identity(k)  u = Neg(t)  v = Abs(u)  y = Reshape(x, v)",
        "y = Gather<axis=1>(x, k)",
        "t = Concat<axis=0>(k, k)  u = Slice(t, z, z2)  y = Reshape(x, u)",
        "s = Shape(x)  t = Mul(s, k)  y = Tile(x, t)",
        "t = Expand(k, k)  s = Shape(t)  f = Cast<to=1>(s)  y = ReduceSum(f)",
        "e = Equal(i, k)  y = Where(e, x, x)",
        "y = Resize<mode=\"nearest\">(x, , scales)",
    ],
)  # fmt: skip
def test_shapes_indices_and_masks_are_none(body: str) -> None:
    stored: dict[str, Array] = {
        "k": np.array([1, 1]),
        "z": np.array([0]),
        "z2": np.array([2]),
        "scales": np.ones(2, np.float32),
    }
    model = parse(f"g (float[n, 2] x, int64[n, 2] i) => (y) {{ {body} }}", stored)
    assert parameter_names(load_model(model).graph) == []


def test_a_table_that_indices_choose_from_is_one() -> None:
    stored: dict[str, Array] = {
        "table": np.ones((5, 3), np.uint8),
        "s": np.array(0.5, np.float32),
        "z": np.array(1, np.uint8),
    }
    model = parse("g (int64[n] x) => (y) { e = Gather(table, x)  y = DequantizeLinear(e, s, z) }", stored)
    assert count_parameters(load_model(model).graph) == 15


@pytest.mark.parametrize(("bits", "inner"), [(4, 8), (8, 16), (2, 4)])
def test_packed_numbers_are_counted_as_what_they_hold(bits: int, inner: int) -> None:
    stored: dict[str, Array] = {"q": np.zeros((6, 2, inner), np.uint8), "s": np.ones(12, np.float32)}
    node = helper.make_node("MatMulNBits", ["x", "q", "s"], ["y"], domain="com.microsoft", K=32, N=6, bits=bits)
    node.attribute.append(helper.make_attribute("block_size", 16))
    value = [helper.make_tensor_value_info(n, 1, ["n", length]) for n, length in (("x", 32), ("y", 6))]
    tensors = [numpy_helper.from_array(a, n) for n, a in stored.items()]
    graph = helper.make_graph([node], "g", value[:1], value[1:], tensors)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    assert count_parameters(load_model(model).graph) == 6 * 32 + 12
