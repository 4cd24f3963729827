"""The part of a model that computes some values computes what the whole one does, and holds nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from analyzer.graph import Editor
from analyzer.graph.part_of import part_of
from analyzer.runtime.loading import load_model
from tests.models import Array, all_values, parse, run

TEXT = """
g (float[n, 3] x, bool c) => (float[n, 3] y, float[n, 3] z) {
    a = Relu (x)
    b = Add (a, w)
    d = If (c) <
        then_branch = h () => (float[n, 3] t) { t = Mul (b, v) },
        else_branch = k () => (float[n, 3] e) { e = Neg (a) }
    >
    y = Sub (d, u)
    z = Exp (a)
}
"""
STORED = {name: np.arange(3, dtype=np.float32) + i for i, name in enumerate("uvw")}
FEEDS: dict[str, Array] = {"x": np.array([[1, -2, 3], [-4, 5, 6]], np.float32), "c": np.array(True)}


def computed(values: list[str]) -> onnx.ModelProto:
    editor = Editor(part_of(load_model(parse(TEXT, STORED)), values))
    editor.output(*(editor.again(value) for value in values))
    return ir.to_proto(editor.loaded.model)


@pytest.mark.parametrize(
    ("value", "nodes", "stored"),
    [
        ("a", {"Relu"}, set()),
        ("b", {"Relu", "Add"}, {"w"}),
        ("d", {"Relu", "Add", "If"}, {"v", "w"}),
        ("y", {"Relu", "Add", "If", "Sub"}, {"u", "v", "w"}),
        ("z", {"Relu", "Exp"}, set()),
    ],
)
@pytest.mark.parametrize("condition", [True, False])
def test_a_part_computes_its_values_and_holds_what_they_are_made_of(
    value: str, nodes: set[str], stored: set[str], condition: bool
) -> None:
    part, feeds = computed([value]), FEEDS | {"c": np.array(condition)}
    assert {node.op_type for node in part.graph.node} == nodes | {"Identity"}
    assert {tensor.name for tensor in part.graph.initializer} == stored
    shown = all_values(parse(TEXT, STORED), feeds)
    np.testing.assert_array_equal(next(iter(run(part, feeds).values())), shown[value])


def test_the_model_itself_stays_as_it_is() -> None:
    loaded = load_model(parse(TEXT, STORED))
    before = ir.to_proto(loaded.model).SerializeToString()
    editor = Editor(part_of(loaded, ["a"]))
    editor.output(editor.add("Sqrt", ["a"]))
    assert ir.to_proto(loaded.model).SerializeToString() == before
