"""Nodes and tensors that a cut inserts: under names that are free, of the right type, and for their reader alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import analyzer
from analyzer.facts.choice import Choice
from analyzer.graph import Editor
from analyzer.rewrite.shrink import REWRITTEN
from analyzer.runtime.loading import load_model
from tests.models import Array, build, parse, run

#: Unit 1 of the hidden layer is dead by its weights alone, unit 3 is the constant 2, which goes into a new bias.
HIDDEN = "q = MatMul(x, w) p = Add(q, b) h = Relu(p)"


def noise(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    made: Array = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return made


def hidden(**more: Array) -> dict[str, Array]:
    w, b = noise(4, 6, seed=1), noise(6, seed=2)
    w[:, [1, 3]] = 0
    b[1], b[3] = -1, 2
    return {"w": w, "b": b, "v": noise(6, 2), **more}


def written(model: onnx.ModelProto, x: Array, choice: Choice | None = None) -> tuple[onnx.ModelProto, analyzer.Pruned]:
    """The smaller model, held against the original."""
    found = analyzer.audit(model, x).prune(choice=choice or Choice(), latency=False)
    assert found.changed
    smaller = onnx.ModelProto.FromString(found.data)
    names = [node.name for node in smaller.graph.node if node.name]
    assert len(names) == len(set(names))
    before, after = run(model, {"x": x}), run(smaller, {"x": x})
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert array.dtype == after[name].dtype
        tolerance = 2e-2 if array.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(
            after[name].astype(np.float64), array.astype(np.float64), rtol=tolerance, atol=tolerance
        )
    return smaller, found


def named(model: onnx.ModelProto, **names: str) -> onnx.ModelProto:
    """Names for the nodes that compute these values."""
    for node in model.graph.node:
        node.name = names.get(node.output[0], node.name)
    return model


def stored(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {t.name: tuple(t.dims) for t in model.graph.initializer}


# ---- names


def test_two_summands_behind_nodes_without_names_have_different_names() -> None:
    text = f"g (float[N,4] x) => (float[N,2] y, float[N,3] z) {{ {HIDDEN} y = MatMul(h, v) z = MatMul(h, v2) }}"
    model = parse(text, hidden(v2=noise(6, 3)))
    assert not any(node.name for node in model.graph.node)
    smaller, _ = written(model, noise(40, 4))
    assert [node.name for node in smaller.graph.node if node.name] == ["/Add", "/Add_2"]


def test_a_summand_takes_another_name_than_a_node_that_is_there() -> None:
    text = f"g (float[N,4] x) => (float[N,2] y) {{ {HIDDEN} z = MatMul(h, v) y = Add(z, z) }}"
    smaller, _ = written(named(parse(text, hidden()), z="m", y="m/Add"), noise(40, 4))
    assert {"m", "m/Add", "m/Add_2"} <= {node.name for node in smaller.graph.node}


def test_the_value_before_a_summand_takes_another_name_than_a_value_that_is_there() -> None:
    text = f"g (float[N,4] x) => (float[N,2] y, float[N,2] r) {{ {HIDDEN} y = MatMul(h, v) r = Relu(y) }}"
    model = parse(text, hidden())
    model.graph.node[-1].output[0] = model.graph.output[1].name = "y/before_Add"
    smaller, _ = written(model, noise(40, 4))
    assert "y/before_Add_2" in {name for node in smaller.graph.node for name in node.output}


def test_an_expanded_constant_takes_another_name_than_a_node_that_is_there() -> None:
    text = f"g (float[N,4] x) => (float[N,2] y, float[N,4] u) {{ {HIDDEN} y = MatMul(h, v) u = Neg(x) }}"
    model = parse(text, hidden())
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((4, 6), np.float32), "w"))
    smaller, _ = written(named(model, u="y/Expand"), noise(40, 4))
    assert {"y/Expand", "y/Expand_2"} <= {node.name for node in smaller.graph.node}


def test_layers_are_merged_after_a_cut_inserted_a_summand() -> None:
    w = noise(4, 8, seed=1)
    w[:, [1, 3]] = 0
    text = "g (float[N,4] x) => (float[N,3] y) { q = MatMul(x, w) p = Add(q, b) h = Relu(p) y = MatMul(h, v) }"
    model = named(parse(text, {"w": w, "b": np.full(8, 50, np.float32), "v": noise(8, 3)}), y="m")
    smaller, _ = written(model, noise(40, 4), Choice(merge_linear=True))
    assert [node.op_type for node in smaller.graph.node] == ["MatMul", "Add", "Add"]


def test_names_inside_a_subgraph_are_taken_too() -> None:
    def branch(kind: str, node: str, value: str) -> onnx.GraphProto:
        made = helper.make_empty_tensor_value_info(value)
        return helper.make_graph([helper.make_node(kind, ["y"], [value], name=node)], kind, [], [made])

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Add", ["q", "b"], ["p"]),
        helper.make_node("Relu", ["p"], ["h"]),
        helper.make_node("MatMul", ["h", "v"], ["y"], name="m"),
        helper.make_node(
            "If", ["yes"], ["z"],
            then_branch=branch("Neg", "m/Add", "n"), else_branch=branch("Abs", "a", "y/before_Add"),
        ),
    ]  # fmt: skip
    x = noise(40, 4)
    model = build(nodes, {"x": x}, hidden(yes=np.array(True)), ["y", "z"], free=(0,))
    smaller, _ = written(model, x)
    assert "m/Add_2" in {node.name for node in smaller.graph.node}
    assert "y/before_Add_2" in {name for node in smaller.graph.node for name in node.output}


def test_what_stands_for_a_tensor_of_one_reader_keeps_its_ending_where_the_name_is_taken() -> None:
    editor = Editor(load_model(parse("g (float[N,4] x) => (float[N,2] y) { y = MatMul(x, w) }", {"w": noise(4, 2)})))
    made = [editor.add_tensor("w", noise(2), REWRITTEN) for _ in range(3)]
    assert made == ["w/cut", "w_2/cut", "w_3/cut"]
    assert [editor.add_tensor("w", noise(2)) for _ in range(2)] == ["w_2", "w_3"]


# ---- types


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_a_constant_is_stored_in_the_type_that_the_run_showed(dtype: Any) -> None:
    x = noise(30, 4, dtype=dtype)
    nodes = [
        helper.make_node(kind, inputs, [output])
        for kind, inputs, output in (
            ("MatMul", ["x", "zero"], "q"), ("Add", ["q", "c"], "d0"), ("Relu", ["d0"], "d"),
            ("MatMul", ["x", "w"], "r"), ("Add", ["d", "r"], "s"), ("Relu", ["s"], "t"), ("MatMul", ["t", "v"], "y"),
        )
    ]  # fmt: skip
    kept: Mapping[str, Array] = {
        "zero": np.zeros((4, 4), dtype), "c": noise(4, dtype=dtype),
        "w": noise(4, 4, seed=4, dtype=dtype), "v": noise(4, 2, dtype=dtype),
    }  # fmt: skip
    smaller, _ = written(build(nodes, {"x": x}, kept, ["y"], free=(0,)), x)
    assert {onnx.numpy_helper.to_array(t).dtype for t in smaller.graph.initializer} == {np.dtype(dtype)}


def test_a_constant_condition_is_stored_as_truth_values() -> None:
    text = """g (float[N,4] x) => (float[N,2] y) {
        q = MatMul(x, zero) c = Greater(q, low) r = MatMul(x, w) s = Where(c, r, none) t = Relu(s) y = MatMul(t, v)
    }"""
    kept = {
        "zero": np.zeros((4, 4), np.float32), "low": noise(4), "none": np.zeros(4, np.float32),
        "w": noise(4, 4, seed=4), "v": noise(4, 2),
    }  # fmt: skip
    model = parse(text, kept)
    del model.graph.value_info[:]
    written(model, noise(30, 4))


# ---- stored tensors that are outputs too


@pytest.mark.parametrize(
    ("body", "shared"),
    [
        ("y = Gemm(h, v, c)", {"c": noise(2)}),
        ("z = MatMul(h, v) y = Add(z, c)", {"c": noise(2)}),
        (
            "z = Gemm(h, v) y = BatchNormalization(z, scale, shift, c, var)",
            {"scale": noise(2), "shift": noise(2, seed=3), "c": noise(2, seed=4), "var": np.abs(noise(2, seed=8)) + 1},
        ),
    ],
)
def test_a_stored_tensor_that_is_an_output_too_is_not_edited(body: str, shared: dict[str, Array]) -> None:
    text = f"g (float[N,4] x) => (float[N,2] y, float[2] c) {{ {HIDDEN} {body} }}"
    smaller, found = written(parse(text, hidden(**shared)), noise(40, 4))
    assert stored(smaller)["v"] == (4, 2)
    assert found.comparison is not None
    assert found.comparison.within


@pytest.mark.parametrize("shared", ["w", "b", "v"])
def test_a_stored_tensor_that_is_an_output_too_is_not_cut(shared: str) -> None:
    kept = hidden()
    text = f"g (float[N,4] x) => (float[N,2] y) {{ {HIDDEN} y = MatMul(h, v) }}"
    model = parse(text, kept)
    model.graph.output.append(helper.make_tensor_value_info(shared, onnx.TensorProto.FLOAT, list(kept[shared].shape)))
    found = analyzer.prune(model, noise(40, 4), latency=False)
    smaller = onnx.ModelProto.FromString(found.data)
    x = noise(9, 4, seed=5)
    before, after = run(model, {"x": x}), run(smaller, {"x": x})
    np.testing.assert_array_equal(before[shared], after[shared])
    np.testing.assert_allclose(before["y"], after["y"], rtol=0, atol=1e-5)


# ---- lengths that are read


def test_the_axis_stays_whose_length_is_read_from_a_list_of_rank_two() -> None:
    text = f"""g (float[N,4] x) => (float[N,2] y) {{
        {HIDDEN} l = Shape(h) u = Unsqueeze(l, zero) g = Gather<axis=0>(u, first) f = Cast<to=1>(g)
        s = ReduceSum<keepdims=0>(f) z = MatMul(h, v) y = Add(z, s)
    }}"""
    x = noise(40, 4)
    model = parse(text, hidden(zero=np.array([0]), first=np.array(0)))
    found = analyzer.prune(model, x, latency=False)
    smaller = onnx.ModelProto.FromString(found.data)
    np.testing.assert_allclose(run(model, {"x": x})["y"], run(smaller, {"x": x})["y"], rtol=1e-5)


def test_the_axis_goes_whose_length_is_not_among_those_that_are_picked() -> None:
    text = f"""g (float[N,4] x) => (float[N,2] y) {{
        {HIDDEN} l = Shape(h) g = Gather(l, first) u = Unsqueeze(g, zero) f = Cast<to=1>(u)
        z = MatMul(h, v) y = Add(z, f)
    }}"""
    smaller, _ = written(parse(text, hidden(zero=np.array([0]), first=np.array(0))), noise(40, 4))
    assert stored(smaller)["v"] == (4, 2)


@pytest.mark.parametrize(
    ("target", "more", "output"),
    [
        ("t = Concat<axis=0>(n, six)", "", "t"),
        ("c = Concat<axis=0>(n, six) t = Cast<to=7>(c)", "", "t"),
        ("c = Concat<axis=0>(n, six) t = Cast<to=7>(c)", "u = Neg(t)", "u"),
    ],
)
def test_a_target_shape_that_is_read_elsewhere_too_is_spelled_anew_for_one(target: str, more: str, output: str) -> None:
    text = f"""g (float[N,4] x) => (float[N,2] y, int64[2] {output}) {{
        {HIDDEN} l = Shape(x) n = Gather(l, first) {target} r = Reshape(h, t) y = MatMul(r, v) {more}
    }}"""
    x = noise(40, 4)
    model = parse(text, hidden(first=np.array([0]), six=np.array([6])))
    found = analyzer.prune(model, x, latency=False)
    after = run(onnx.ModelProto.FromString(found.data), {"x": x})
    np.testing.assert_array_equal(after[output], run(model, {"x": x})[output])
    assert found.changed
    assert not found.facts.refused
    np.testing.assert_allclose(after["y"], run(model, {"x": x})["y"], atol=1e-5)
