"""Attributes at which an operator's formula degenerates: a pruned model agrees, and nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import analyzer
from analyzer.errors import InputError, RunError
from tests.models import Array, build, run

RNG = np.random.default_rng(5)
X = RNG.normal(size=(24, 6)).astype(np.float32)
W = RNG.normal(size=(6, 8)).astype(np.float32)
W[:, :3] = 0
B = RNG.normal(size=8).astype(np.float32)
B[:3] = -1, 0, 2
V = RNG.normal(size=(8, 4)).astype(np.float32)

ATTRIBUTES = [
    (op, {name: value})
    for op, names in {
        "LeakyRelu": ["alpha"],
        "Elu": ["alpha"],
        "Celu": ["alpha"],
        "ThresholdedRelu": ["alpha"],
        "HardSigmoid": ["alpha", "beta"],
        "Selu": ["alpha", "gamma"],
        "Shrink": ["bias", "lambd"],
    }.items()
    for name in names
    for value in (0.0, -0.5, nan)
]


def obeys(op: str, stored: dict[str, Array], attributes: Mapping[str, Any] | None = None) -> None:
    """Gemm, the operator, MatMul: pruned with and without data, both as good as the original, or nothing is finite."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node(op, ["h", *stored], ["a"], **(attributes or {})),
        helper.make_node("MatMul", ["a", "v"], ["y"]),
    ]
    model = build(nodes, {"x": X}, {"w": W, "b": B, "v": V, **stored}, ["y"], opset=17, free=[0])
    expected = run(model, {"x": X})["y"]
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-6)
    for probe in ({"x": X}, None):
        try:
            small = onnx.ModelProto.FromString(analyzer.prune(model, probe, latency=False).data)
        except InputError as error:
            assert "finite" in str(error)
            assert not np.isfinite(expected).any()
        else:
            np.testing.assert_allclose(run(small, {"x": X})["y"], expected, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize(("op", "attributes"), ATTRIBUTES, ids=str)
def test_an_activation_of_odd_attributes_is_pruned_exactly(op: str, attributes: dict[str, float]) -> None:
    obeys(op, {}, attributes)


@pytest.mark.parametrize("low", [0.0, 1.0, nan, -inf])
@pytest.mark.parametrize("high", [0.0, -1.0, nan, inf])
def test_crossed_and_missing_bounds_are_pruned_exactly(low: float, high: float) -> None:
    obeys("Clip", {"low": np.array(low, np.float32), "high": np.array(high, np.float32)})


@pytest.mark.parametrize("gamma", [0.0, -1.0, nan])
@pytest.mark.parametrize("variance", [0.0, 1.0, -1.0])
def test_normalisations_that_divide_by_nothing_are_pruned_exactly(gamma: float, variance: float) -> None:
    values = {"gamma": gamma, "beta": 0.5, "mean": 0.1, "variance": variance}
    stored: dict[str, Array] = {name: np.full(8, value, np.float32) for name, value in values.items()}
    obeys("BatchNormalization", stored, {"epsilon": 0.0})


@pytest.mark.parametrize(("opset", "named"), [(7, 5), (9, 5), (13, 5), (14, 1), (15, 1)])
def test_batch_normalization_trains_where_its_further_outputs_are_named(opset: int, named: int) -> None:
    x = RNG.normal(size=(8, 3, 4, 4)).astype(np.float32)
    stored = {
        "w": np.where([[[[True]]], [[[False]]], [[[True]]]], RNG.normal(size=(3, 3, 1, 1)), 0).astype(np.float32),
        "b": np.array([0.1, 2, -1], np.float32),
        **{
            n: np.array(v, np.float32)
            for n, v in zip("gsmu", ([1, 2, 0], [0, 1, 1], [0, 3, 0], [1, 4, 1]), strict=True)
        },
        "v": RNG.normal(size=(2, 3, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *"gsmu"], ["n", *(f"n{i}" for i in range(1, named))]),
        helper.make_node("Conv", ["n", "v"], ["y"]),
    ]
    model = build(nodes, {"x": x}, stored, ["y"], opset=opset, free=[0])
    expected = run(model, {"x": x})["y"]
    for probe in ({"x": x}, None):
        small = onnx.ModelProto.FromString(analyzer.prune(model, probe, latency=False).data)
        np.testing.assert_allclose(run(small, {"x": x})["y"], expected, rtol=0, atol=1e-4)


def test_a_node_without_outputs_is_refused_as_onnxruntime_refuses_it() -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value_int=0)], "g", [], [helper.make_empty_tensor_value_info("z")]
    )
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "v"], ["y"]),
        helper.make_node("If", ["c"], [], then_branch=branch, else_branch=branch),
    ]
    model = build(nodes, {"x": X}, {"w": W, "b": B, "v": V, "c": np.array(True)}, ["y"], free=[0])
    for data in (None, {"x": X}):
        with pytest.raises(RunError, match="If"):  # onnxruntime wants a branch to give something
            analyzer.audit(model, data)


def test_a_mask_for_no_samples_is_read() -> None:
    node = helper.make_node("Attention", ["x", "w", "", "ends"], ["y"], domain="com.microsoft", num_heads=2)
    none = {"x": np.zeros((0, 3, 6), np.float32), "ends": np.zeros(0, np.int32)}
    weight = {"w": RNG.normal(size=(6, 12)).astype(np.float32)}
    audited = analyzer.audit(build([node], none, weight, ["y"], 18, {"com.microsoft": 1}), causes=False)
    assert audited.to_dict()["layers"] == []
