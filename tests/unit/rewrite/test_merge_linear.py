"""Dense layers around a ReLU that was always on: merged only where that is smaller, allowed, and told as what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import analyzer
from analyzer import Choice
from tests.models import Array, parse, run

MERGE = Choice(merge_linear=True)


def drawn(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def merged(model: onnx.ModelProto, x: Array, choice: Choice = MERGE) -> analyzer.Pruned:
    """The prune, after both models were compared on other inputs too."""
    result = analyzer.prune(model, {"x": x}, choice=choice, latency=False)
    other = {"x": x[::-1] * np.float32(0.9)}
    before, after = run(model, other), run(onnx.ModelProto.FromString(result.data), other)
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=0, atol=2e-5 * np.abs(array).max())
    return result


def second_reader(dead: int) -> onnx.ModelProto:
    """A first weight that another node reads as well, and a layer of which some units are dead."""
    bias = np.ones(4 + dead, np.float32)
    bias[:dead] = -100
    stored: dict[str, Array] = {
        "w1": drawn(64, 16) / 20, "b1": np.full(16, 8, np.float32), "w2": drawn(16, 16, seed=4),
        "v1": drawn(64, 4 + dead), "c1": bias, "v2": drawn(4 + dead, 3),
    }  # fmt: skip
    return parse(
        """g (float[n,64] x) => (float[n,16] y, float[n,16] z, float[n,3] w) {
            h = Gemm(x, w1, b1) a = Relu(h) y = MatMul(a, w2) z = MatMul(x, w1)
            u = Gemm(x, v1, c1) v = Relu(u) w = MatMul(v, v2)
        }""",
        stored,
    )


@pytest.mark.parametrize("dead", [0, 3, 18])
def test_a_weight_that_stays_for_another_reader_saves_nothing(dead: int) -> None:
    model, x = second_reader(dead), drawn(60, 64)
    plain = analyzer.prune(model, {"x": x}, latency=False)
    assert plain.changed == bool(dead)
    assert merged(model, x).facts.after.parameters == plain.facts.after.parameters


def test_a_weight_that_is_transposed_first_counts_once() -> None:
    stored: dict[str, Array] = {"w1": drawn(12, 4), "b1": np.full(12, 50, np.float32), "w2": drawn(12, 3)}
    model = parse(
        """g (float[n,4] x) => (float[n,3] y) {
            t = Transpose<perm=[1,0]>(w1) m = MatMul(x, t) h = Add(m, b1) a = Relu(h) y = MatMul(a, w2)
        }""",
        stored,
    )
    result = merged(model, drawn(40, 4))
    assert result.facts.after.parameters == 4 * 3 + 3
    assert not any(node.op_type == "Relu" for node in onnx.ModelProto.FromString(result.data).graph.node)


@pytest.mark.parametrize("shape", [(8, 1), (1, 8, 1)])
def test_a_bias_per_position_is_none_per_unit(shape: tuple[int, ...]) -> None:
    stored: dict[str, Array] = {
        "w1": drawn(4, 8) / 10,
        "b1": np.linspace(5, 9, 8).astype(np.float32).reshape(shape),
        "w2": drawn(8, 3),
    }
    text = "h = MatMul(x, w1) s = Add(h, b1) a = Relu(s) y = MatMul(a, w2)"
    model = parse(f"g (float[n,8,4] x) => (float[n,8,3] y) {{ {text} }}", stored)
    assert not merged(model, drawn(40, 8, 4) / 10).changed


@pytest.mark.parametrize("shape", [(), (1,), (8,), (1, 8)])
def test_a_bias_per_unit_or_for_all_is_merged(shape: tuple[int, ...]) -> None:
    bias: Array = np.linspace(20, 21, int(np.prod(shape))).astype(np.float32).reshape(shape)
    stored: dict[str, Array] = {"w1": drawn(4, 8), "b1": bias, "w2": drawn(8, 3)}
    text = "h = MatMul(x, w1) s = Add(h, b1) a = Relu(s) y = MatMul(a, w2)"
    model = parse(f"g (float[n,4] x) => (float[n,3] y) {{ {text} }}", stored)
    result = merged(model, drawn(40, 4))
    assert result.facts.after.parameters == 4 * 3 + 3


def test_a_bias_that_adds_an_axis_is_left_alone() -> None:
    stored: dict[str, Array] = {"w1": drawn(4, 8), "b1": np.full((1, 1, 8), 20, np.float32), "w2": drawn(8, 3)}
    text = "h = MatMul(x, w1) s = Add(h, b1) a = Relu(s) y = MatMul(a, w2)"
    model = parse(f"g (float[n,4] x) => (float[p,n,3] y) {{ {text} }}", stored)
    assert not merged(model, drawn(40, 4)).changed


def always_on() -> onnx.ModelProto:
    stored: dict[str, Array] = {
        "w1": drawn(4, 12), "b1": np.full(12, 50, np.float32), "w2": drawn(12, 3), "b2": drawn(3),
    }  # fmt: skip
    return parse("g (float[n,4] x) => (float[n,3] y) { h = Gemm(x, w1, b1) a = Relu(h) y = Gemm(a, w2, b2) }", stored)


@pytest.mark.parametrize(
    "held_back",
    [
        {"evidence": analyzer.Evidence.STRUCTURAL},
        {"min_samples": 41},
        {"max_firing_bound": 0.01},
        {"only": ("Gemm",)},
        {"skip": ("a",)},
        {"min_distance": 1.0},
    ],
)
def test_what_only_the_probe_shows_is_held_back_like_everything_else(held_back: dict[str, Any]) -> None:
    choice = Choice(merge_linear=True, **held_back)
    result = analyzer.prune(always_on(), {"x": drawn(40, 4)}, choice=choice, latency=False)
    assert not result.changed
    told = "stays: only the probe shows it to be always on" in " ".join(result.facts.notes)
    assert told == (not {"only", "skip"} & held_back.keys())


def test_a_merged_relu_is_observed_with_a_bound_and_never_said_to_hold_for_every_input() -> None:
    result = merged(always_on(), drawn(40, 4))
    assert result.facts.observed
    assert result.facts.removed_relus == ("a",)
    said = {p.key: p.value for p in onnx.ModelProto.FromString(result.data).metadata_props}
    assert said["deadunits.evidence"] == "observed"
    assert float(said["deadunits.firing_bound_95"]) == pytest.approx(1 - 0.05 ** (1 / 40), abs=1e-3)
    assert said["deadunits.probe_samples"] == "40"


def test_the_sizes_after_a_merge_are_those_of_the_written_model() -> None:
    x = drawn(40, 4)
    result = merged(always_on(), x)
    again = analyzer.prune(result.data, {"x": x}, latency=False)
    assert not again.changed
    assert result.facts.after == again.facts.before
    assert result.facts.after.multiply_adds == 4 * 3


def test_a_cast_to_another_float_is_no_bias() -> None:
    stored: dict[str, Array] = {"w1": drawn(12, 8).astype(np.float64), "w2": drawn(8, 3)}
    stored["w1"] = np.abs(stored["w1"])
    model = parse(
        "g (double[n,12] x) => (float[n,3] y) { h = MatMul(x, w1) f = Cast<to = 1>(h) a = Relu(f) y = MatMul(a, w2) }",
        stored,
    )
    x = np.abs(drawn(60, 12)).astype(np.float64)
    assert merged(model, x).facts.after.parameters == 12 * 8 + 8 * 3


def test_layers_stay_apart_where_the_model_gives_out_what_lies_between() -> None:
    stored: dict[str, Array] = {"w1": drawn(4, 12), "b1": np.full(12, 9, np.float32), "w2": drawn(12, 3)}
    body = "h = Gemm(x, w1, b1) a = Relu(h) y = MatMul(a, w2)"
    model = parse(f"g (float[n,4] x) => (float[n,3] y, float[n,12] a) {{ {body} }}", stored)
    assert not merged(model, drawn(60, 4)).changed


@pytest.mark.parametrize("factors", [(0.5, 1.0), (1.0, 0.5)])
def test_factors_of_a_gemm_count(factors: tuple[float, float]) -> None:
    stored: dict[str, Array] = {
        "w1": drawn(12, 8), "b1": np.full(8, 99, np.float32), "w2": drawn(8, 3), "b2": drawn(3, seed=5),
    }  # fmt: skip
    alpha, beta = factors
    body = f"h = Gemm(x, w1, b1) a = Relu(h) y = Gemm<alpha = {alpha}, beta = {beta}>(a, w2, b2)"
    merged(parse(f"g (float[n,12] x) => (float[n,3] y) {{ {body} }}", stored), drawn(60, 12))
