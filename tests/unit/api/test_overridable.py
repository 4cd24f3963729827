"""A stored tensor that is also listed as an input is a default from IR version 4 on: whoever calls may override it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import analyzer
from analyzer.api.pruned_model import Pruned
from analyzer.runtime.loading import load_model

RANDOM = np.random.default_rng(3)
X = RANDOM.standard_normal((80, 4)).astype(np.float32)
W = RANDOM.standard_normal((4, 6)).astype(np.float32)
W[:, 1] = 0
STORED = {
    "w": W,
    "b": np.array([1, -1, 0, 0.5, 0, 1], np.float32),
    "gain": np.zeros(1, np.float32),
    "v": RANDOM.standard_normal((6, 2)).astype(np.float32),
}


def model(*listed: str, version: int = 8) -> onnx.ModelProto:
    """Gemm, Relu, a gain, MatMul; the stored tensors in `listed` are inputs as well."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Mul", ["r", "gain"], ["g"]),
        helper.make_node("MatMul", ["g", "v"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, STORED[n].shape) for n in listed]
    stored = [numpy_helper.from_array(a, n) for n, a in STORED.items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "g", inputs, [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=version)


def session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def agree(before: onnx.ModelProto, after: Pruned, **feeds: Any) -> None:
    assert after.data is not None
    old, new = (session(data).run(None, {"x": X, **feeds})[0] for data in (before.SerializeToString(), after.data))
    np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


def listed_inputs(data: bytes | None) -> list[tuple[str, int]]:
    """Names and ranks of all inputs, defaults included."""
    assert data is not None
    graph = onnx.load_from_string(data).graph
    assert {t.name for t in graph.initializer} >= {i.name for i in graph.input if i.name != "x"}
    return [(i.name, len(i.type.tensor_type.shape.dim)) for i in graph.input]


def test_a_default_is_no_constant() -> None:
    """A gain of zero kills every unit, but only as long as nobody overrides it."""
    before = model("gain")
    found = analyzer.audit(before)
    assert {layer.value: layer.dead for layer in found.layers} == {"r": (1,), "y": ()}
    after = found.prune(latency=False)
    assert after.facts.changed
    agree(before, after)
    agree(before, after, gain=np.ones(1, np.float32))


@pytest.mark.parametrize("residual", ["off", "params"])
def test_a_default_beside_a_dead_unit_says_why_the_unit_stays(residual: Literal["off", "params"]) -> None:
    before = model("gain", "v")
    before.graph.initializer[0].CopyFrom(numpy_helper.from_array((W * [1, 0, 1, 0, 1, 1]).astype(np.float32), "w"))
    gain = numpy_helper.from_array(np.zeros(6, np.float32), "gain")
    before.graph.initializer[2].CopyFrom(gain)
    before.graph.input[1].CopyFrom(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [6]))
    found = analyzer.audit(before, {"x": X})
    assert {layer.value: layer.dead for layer in found.layers}["r"] == (1, 3)
    assert {unit for locked in found.facts.locked for unit in locked.units} == {1, 3}
    after = found.prune(choice=analyzer.Choice(residual=residual), latency=False)
    agree(before, after, gain=np.ones(6, np.float32))


def test_a_default_keeps_its_shape() -> None:
    before = model("w", "gain")
    after = analyzer.prune(before, {"x": X}, latency=False)
    assert listed_inputs(after.data) == [("x", 2), ("w", 2), ("gain", 1)]
    agree(before, after)
    agree(before, after, w=(W + 1).astype(np.float32), gain=np.zeros(1, np.float32))


def test_a_default_that_nothing_reads_stays_an_input() -> None:
    before = model("b", "v")  # a gain of zero for good: no output depends on any of them
    after = analyzer.prune(before, latency=False)
    assert listed_inputs(after.data) == [("x", 2), ("b", 1), ("v", 2)]
    agree(before, after, b=np.ones(6, np.float32), v=np.ones((6, 2), np.float32))


def test_a_default_needs_no_data() -> None:
    found = analyzer.audit(model("w", "gain"), {"x": X})
    assert found.facts.probe is not None
    assert found.facts.probe.samples == 80
    (warning,) = (w for w in found.warnings if w.name == "overridable")
    assert warning.value == "w" and "and 1 other tensor" in warning.message


@pytest.mark.parametrize("listed", [("w", "b", "gain", "v"), ()])
def test_before_ir_version_4_all_stored_tensors_are_listed_and_are_constants(listed: tuple[str, ...]) -> None:
    """Without exception, or onnxruntime could not read the file; later versions need not list any."""
    found = analyzer.audit(model(*listed, version=3 if listed else 4))
    assert {layer.value: len(layer.dead) for layer in found.layers} == {"r": 1, "y": 2}
    assert "overridable" not in [w.name for w in found.warnings]
    assert load_model(model(*listed, version=3 if listed else 4)).graph.initializer_names == set(STORED)


def test_where_most_weights_are_listed_it_is_an_exporters_habit() -> None:
    whole = model("w", "b", "v", version=6)
    whole.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(W[:1, :2])))
    whole.graph.node.append(helper.make_node("Add", ["y", "c"], ["z"]))
    whole.graph.output[0].name = "z"
    audit = analyzer.audit(whole, X)
    assert "overridable" not in [warning.name for warning in audit.warnings]
    assert audit.prune(latency=False).facts.removed_units["r"]
    assert "overridable" in [w.name for w in analyzer.audit(model("w", version=6), X).warnings]
