"""Single cuts of single operators that once came out wrong: the smaller model against the original."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from analyzer.ops.context import Context
from analyzer.runtime.loading import load_model
from analyzer.walk.flow import constants_forward
from tests.audits import pruned, table_of
from tests.models import Array, parse
from tests.models import context as context_of


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def two_constants() -> dict[str, Array]:
    """The first layer's weights: units 1 and 3 are constant, and one of them is not zero."""
    w, b = noise(4, 6, seed=1), noise(6, seed=2)
    w[:, [1, 3]], b[1], b[3] = 0, -1, 2
    return {"w": w, "b": b}


def test_a_new_bias_of_a_gemm_with_beta_is_whole_in_the_batch_normalisation_behind_it() -> None:
    stored = {**two_constants(), "v": noise(6, 2), "bb": noise(2, seed=3), "mean": noise(2, seed=4)}
    stored |= {"g": np.abs(noise(2, seed=5)) + 0.5, "var": np.abs(noise(2, seed=6)) + 0.5}
    body = "p = Gemm(x, w, b) h = Relu(p) z = Gemm<beta=0.5>(h, v) y = BatchNormalization(z, g, bb, mean, var)"
    found = pruned(parse(f"g (float[n, 4] x) => (float[n, 2] y) {{ {body} }}", stored), {"x": noise(9, 4)})
    assert found.shape("v") == (4, 2)
    assert found.difference < 1e-5


def test_a_new_bias_of_a_gemm_with_beta_is_whole_in_the_gemm() -> None:
    body = "p = Gemm(x, w, b) h = Relu(p) y = Gemm<beta=0.5>(h, v)"
    model = parse(f"g (float[n, 4] x) => (float[n, 2] y) {{ {body} }}", {**two_constants(), "v": noise(6, 2)})
    found = pruned(model, {"x": noise(9, 4)})
    assert found.shape("v") == (4, 2)
    assert found.difference < 1e-5


def test_every_group_of_a_padded_convolution_gets_its_carrier() -> None:
    """Constants other than 0 in front of padding: of each group one stays for the others."""
    w, b = noise(8, 3, 1, 1), noise(8, seed=1)
    dead = [0, 1, 4, 5]
    w[dead], b[dead] = 0, [1, 2, 3, 4]
    stored = {"w": w, "b": b, "k": noise(6, 4, 3, 3, seed=2), "v": noise(2, 6, 1, 1, seed=3)}
    body = "c = Conv(x, w, b) h = Relu(c) g = Conv<group=2, pads=[1, 1, 1, 1]>(h, k) y = Conv(g, v)"
    model = parse(f"g (float[n, 3, 5, 5] x) => (float[n, 2, 5, 5] y) {{ {body} }}", stored)
    found = pruned(model, {"x": noise(4, 3, 5, 5)})
    assert found.shape("w") == (6, 3, 1, 1)
    assert found.difference < 1e-5


@pytest.mark.parametrize(("dtype", "name", "large"), [(np.int64, "int64", 2**53 + 1), (np.int32, "int32", 2**30)])
def test_sums_of_whole_numbers_are_not_moved_into_a_bias(dtype: type, name: str, large: int) -> None:
    rng = np.random.default_rng(0)
    w: Array = rng.integers(-3, 4, (4, 6)).astype(dtype)
    w[:, 1] = 0
    stored = {"w": w, "b": np.array([-2, large, 1, 0, 2, 3], dtype), "v": np.arange(18).reshape(6, 3).astype(dtype)}
    body = "q = MatMul(x, w) p = Add(q, b) y = MatMul(p, v)"
    model = parse(f"g ({name}[n, 4] x) => ({name}[n, 3] y) {{ {body} }}", stored)
    found = pruned(model, {"x": rng.integers(-9, 9, (5, 4)).astype(dtype)})
    assert found.difference == 0
    assert found.shape("v") == (6, 3)


def test_sizes_of_a_resize_that_name_the_channel_axis_are_spelled_anew() -> None:
    c = noise(4, 3, 1, 1)
    c[[1, 2]] = 0
    stored = {"c": c, "b": np.array([0.5, 1, -1, 0.5], np.float32), "v": noise(2, 4, 1, 1, seed=1)}
    stored["sizes"] = np.array([8, 4, 8])
    body = "p = Conv(x, c, b) h = Relu(p) u = Resize<axes=[2,1,3]>(h, , , sizes) y = Conv(u, v)"
    model = parse(f"g (float[n, 3, 5, 5] x) => (float[n, 2, 8, 8] y) {{ {body} }}", stored)
    found = pruned(model, {"x": noise(3, 3, 5, 5)})
    assert found.shape("v") == (2, 2, 1, 1)
    assert found.difference < 1e-5


def test_a_batch_normalisation_with_parameters_per_position_is_left_alone() -> None:
    stored = {name: np.ones((2, 3, 3), np.float32) for name in ("g", "bb", "mean", "var")}
    text = "y = BatchNormalization<spatial=0>(x, g, bb, mean, var)"
    model = parse(f"g (float[n, 2, 3, 3] x) => (float[n, 2, 3, 3] y) {{ {text} }}", stored, 7)
    shapes = table_of(onnx.parser.parse_model(SHAPED), {"x": noise(2, 2, 3, 3)})
    (call,) = Context(load_model(model).graph, shapes).calls
    assert call.barrier == "parameters per position"


SHAPED = """<ir_version: 10, opset_import: ["" : 18]> g (float[n, 2, 3, 3] x) => (float[n, 2, 3, 3] y)
{ y = Identity(x) }"""


@pytest.mark.parametrize(("activation", "known"), [("Relu", True), ("Elu", False), ("ThresholdedRelu", False)])
def test_a_fused_activation_is_derived_only_where_its_parameters_are_read(activation: str, known: bool) -> None:
    text = f"""g (float[n, 4] x) => (float[n, 6] y) {{
      y = com.microsoft.FusedGemm<activation="{activation}", activation_alpha=2.0>(x, w, b) }}"""
    feeds = {"x": noise(1, 4)}
    model = parse(text, two_constants())
    loaded = load_model(model)
    found = constants_forward(Context(loaded.graph, table_of(model, feeds)), {})["y"]
    assert found.any == known


@pytest.mark.parametrize("axes", ["[2,3]", "[-2,-1]"])
def test_a_scale_that_leaves_the_length_moves_indices_all_the_same(axes: str) -> None:
    w = noise(5, 4, seed=1)
    w[:, [1, 3]] = 0  # 4 indices, which the scale 1.2 spreads over 4 others
    stored = {"w": w, "scales": np.array([2, 1.2], np.float32), "v": noise(32, 3, seed=2)}
    how = f'axes={axes}, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
    body = f"p = MatMul(x, w) u = Resize<{how}>(p, , scales) f = Flatten(u) y = Gemm(f, v)"
    found = pruned(parse(f"g (float[n, 2, 2, 5] x) => (float[n, 3] y) {{ {body} }}", stored), {"x": noise(4, 2, 2, 5)})
    assert found.difference < 1e-5


def test_a_quotient_of_two_computed_floats_is_derived() -> None:
    body = "p = MatMul(x, zeros) a = Add(p, three) b = Add(p, two) q = Div(a, b) h = MatMul(x, w) y = Mul(h, q)"
    stored = {"zeros": np.zeros((4, 6), np.float32), "w": noise(4, 6), "three": np.full(6, 3, np.float32)}
    stored["two"] = np.full(6, 2, np.float32)
    found = constants_forward(
        context_of(parse(f"g (float[n, 4] x) => (float[n, 6] y) {{ {body} }}", stored), {"x": noise(3, 4)}), {}
    )["q"]
    assert found.known.all()
    assert (np.asarray(found.number) == 1.5).all()
