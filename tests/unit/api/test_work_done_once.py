"""How often an audit does what costs most on a deep graph: contexts, sessions, copies of the graph, views of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from analyzer import audit
from analyzer.graph.load import LoadedModel
from analyzer.ops.context import Context
from analyzer.runtime.session import Session

LAYERS = 6
CLASSES: tuple[type, ...] = (Context, Session)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many objects of these classes were made, and copies of a loaded model."""
    counts = Counter[str]()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*args, **options)

        return call

    for cls in CLASSES:
        monkeypatch.setattr(cls, "__init__", counted(cls.__name__, vars(cls)["__init__"]))
    monkeypatch.setattr(LoadedModel, "copy", counted("copy", LoadedModel.copy))
    return counts


def chain(summing: bool) -> onnx.ModelProto:
    """Layers of a bias, or a product with weights, and a Relu each; some units never fire."""
    random, nodes, stored, name = np.random.default_rng(0), [], [], "x"
    for layer in range(LAYERS):
        bias = random.normal(size=4).astype(np.float32)
        bias[1] = -100
        stored.append(numpy_helper.from_array(bias, f"b{layer}"))
        if summing:
            stored.append(numpy_helper.from_array(random.normal(size=(4, 4)).astype(np.float32), f"w{layer}"))
        inputs = [name, f"w{layer}", f"b{layer}"] if summing else [name, f"b{layer}"]
        nodes.append(helper.make_node("Gemm" if summing else "Add", inputs, [f"sum{layer}"]))
        nodes.append(helper.make_node("Relu", [f"sum{layer}"], [name := f"relu{layer}"]))
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 4]) for n in ("x", name)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_without_data_one_context_one_session_beside_that_of_the_file_and_no_copy(made: Counter[str]) -> None:
    audit(chain(summing=False))
    assert made == {"Context": 1, "Session": 2}


def test_what_a_run_takes_is_told_from_a_context_of_inferred_shapes(made: Counter[str]) -> None:
    audit(chain(summing=True))
    assert made == {"Context": 2, "Session": 2}


def test_with_data_the_observation_and_the_promised_cut_copy_the_graph_and_the_causes_a_part_of_it(
    made: Counter[str],
) -> None:
    found = audit(chain(summing=True), {"x": np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)})
    assert found.facts.dead
    assert found.facts.removable.parameters
    assert made == {"Context": 1, "Session": 4, "copy": 3}
