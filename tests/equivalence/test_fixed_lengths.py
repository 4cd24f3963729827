"""Lengths that ONNX's inference finds are believed only as onnxruntime computes them, in every part of a model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer.graph import LoadedModel
from analyzer.runtime.loading import load_model
from analyzer.shapes.confirmed_lengths import with_confirmed_lengths
from tests.equivalence.agree import run
from tests.models import Array, parse

KERNEL = np.array([[1, 2], [-1, -3]], np.float32)[..., np.newaxis]  # on positive numbers unit 1 never fires
#: Operators whose results are shorter or longer than inference says, and how long the input is.
DIFFERING = {
    "windows that are rounded up": (
        "p = MaxPool<kernel_shape = [2], strides = [2], pads = [0, 1], ceil_mode = 1>(x)",
        6,
        17,
    ),
    "scales that are no whole numbers": ('p = Resize<mode = "nearest">(x, , scales)', 10, 17),
}


def measuring(kind: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The second half of what an operator gives, where the file measures how much that is; unit 1 is dead."""
    made, length, opset = DIFFERING[kind]
    model = parse(
        f"""g (float[n, 2, {length}] x) => (float[a, b, c] y) {{
            {made}
            s = Shape(p)
            n2 = Gather(s, two)
            c = Div(n2, half)
            starts = Unsqueeze(c, zero)
            ends = Unsqueeze(n2, zero)
            t = Slice(p, starts, ends, last)
            h = Conv(t, w)
            r = Relu(h)
            y = Conv(r, v)
        }}""",
        {
            "w": KERNEL,
            "v": KERNEL,
            "two": np.array(2),
            "half": np.array(2),
            "zero": np.array([0]),
            "last": np.array([2]),
            "scales": np.array([1, 1, 1.3], np.float32),
        },
        opset=opset,
    )
    return model, {"x": np.random.default_rng(5).uniform(1, 2, (9, 2, length)).astype(np.float32)}


@pytest.mark.parametrize("kind", DIFFERING)
def test_a_length_that_a_run_refutes_is_measured(kind: str) -> None:
    model, feeds = measuring(kind)
    audit = analyzer.audit(model, feeds)
    (r,) = [layer for layer in audit.layers if layer.value == "r"]
    assert r.dead == (1,)
    pruned = audit.prune(latency=False)
    assert pruned.changed
    for expected, actual in zip(run(model, feeds), run(onnx.load_from_string(pruned.data), feeds), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def looped() -> onnx.ModelProto:
    """A loop whose body claims that its result holds one sample, and a Reshape to what it holds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["h"], ["h_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h_out", TensorProto.FLOAT, [1, 4]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["h"]),
        helper.make_node("Loop", ["times", ""], ["l"], body=body),
        helper.make_node("Shape", ["l"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["samples"]),
        helper.make_node("Concat", ["samples", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["l", "target"], ["y"]),
    ]
    stored = {"w": np.ones((3, 4), np.float32), "times": np.array(2), "one": np.array([1]), "rest": np.array([-1])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_what_a_body_claims_of_its_results_fixes_nothing() -> None:
    assert not load_model(looped()).graph.measured


def stored_in(loaded: LoadedModel) -> frozenset[str]:
    return frozenset(loaded.graph.measured)


def test_where_nothing_runs_nothing_is_confirmed() -> None:
    model = parse(
        "g (float[n, 2, 6] x, int64[2] k) => (float[a, b] z, float[c, d, e] y) {\n"
        "z = Reshape(x, k)\ns = Shape(x)\nn2 = Gather(s, two)\nt = Div(n2, half)\nu = Unsqueeze(t, zero)\n"
        "y = Slice(x, zero, u, two_1)\n}",
        {"two": np.array(2), "half": np.array(2), "zero": np.array([0]), "two_1": np.array([2])},
    )
    loaded = load_model(model)
    assert stored_in(loaded)
    measured = with_confirmed_lengths(loaded, None, None)
    assert not stored_in(measured)
    sent, with_what, _ = measured.__reduce__()
    assert not stored_in(sent(*with_what)), "in another process, too"
