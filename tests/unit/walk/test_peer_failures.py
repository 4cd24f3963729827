"""Models on which other tools go wrong: each is audited, cut, and held against the original."""

from __future__ import annotations

import numpy as np
import pytest

from tests.audits import Pruned, audited, pruned
from tests.models import Array, parse

EXACT = 1e-4


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def noise(*shape: int) -> Array:
    return generator().normal(0, 1, shape).astype(np.float32)


def dead_bias(units: int, *dead: int) -> Array:
    """A bias so low that these units never fire."""
    bias = np.full(units, 0.5, np.float32)
    bias[list(dead)] = -1e4
    return bias


def chain(body: str, stored: dict[str, Array], x: Array, output: str = "y") -> Pruned:
    dims = ", ".join(["N", *map(str, x.shape[1:])])
    model = parse(f"g (float[{dims}] x) => (float[N, ...] {output}) {{ {body} }}".replace("[N, ...]", ""), stored)
    return pruned(model, {"x": x})


def test_a_padded_convolution_of_a_constant_is_not_dead_and_keeps_a_carrier() -> None:
    """A constant map meets zero padding: the next map varies at the border."""
    w1 = noise(6, 3, 1, 1)
    w1[:3] = 0  # maps 0 to 2 are the constant 2, 3 and 4
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) h2 = Conv<pads=[1,1,1,1]>(r, w2) y = Relu(h2)",
        {"w1": w1, "b1": np.array([2, 3, 4, 0.1, 0.1, 0.1], np.float32), "w2": np.abs(noise(4, 6, 3, 3))},
        noise(5, 3, 6, 6),
    )
    assert found.walk.layers[0].dead == (0, 1, 2)
    assert found.walk.layers[1].dead == ()
    assert found.shape("w2") == (4, 4, 3, 3)
    assert "kept-as-carrier" in found.reasons("r")
    assert found.difference < EXACT


def test_without_padding_the_constant_goes_into_the_bias() -> None:
    w1 = noise(6, 3, 1, 1)
    w1[:3] = 0
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) y = Conv(r, w2)",
        {"w1": w1, "b1": np.array([2, 3, 4, 0.1, 0.1, 0.1], np.float32), "w2": noise(4, 6, 3, 3)},
        noise(5, 3, 6, 6),
    )
    assert found.shape("w1") == (3, 3, 1, 1)
    assert found.shape("w2") == (4, 3, 3, 3)
    assert found.difference < EXACT


def test_a_sobel_kernel_is_not_a_zero_kernel() -> None:
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    w1 = np.stack([sobel, sobel.T, np.zeros((3, 3), np.float32)])[:, None]
    found = chain("h = Conv(x, w1) r = Relu(h) y = Conv(r, w2)", {"w1": w1, "w2": noise(2, 3, 1, 1)}, noise(5, 1, 6, 6))
    assert found.walk.layers[0].dead == (2,)
    assert found.shape("w1") == (2, 1, 3, 3)
    assert found.difference < EXACT


def test_a_map_that_fires_at_one_position_is_alive() -> None:
    x = np.zeros((5, 1, 6, 6), np.float32)
    x[3, 0, 2, 4] = 1
    found = chain(
        "r = Relu(x) h = Conv(r, w1, b1) s = Relu(h) y = Conv(s, w2)",
        {"w1": np.ones((2, 1, 1, 1), np.float32), "b1": np.array([-0.5, -2], np.float32), "w2": noise(2, 2, 1, 1)},
        x,
    )
    assert found.walk.layers[1].dead == (1,)
    assert found.difference < EXACT


def test_a_convolution_in_one_dimension_shrinks() -> None:
    found = chain(
        "h = Conv<pads=[1,1]>(x, w1, b1) r = Relu(h) y = Conv<pads=[1,1]>(r, w2)",
        {"w1": noise(5, 2, 3), "b1": dead_bias(5, 1, 4), "w2": noise(3, 5, 3)},
        noise(6, 2, 9),
    )
    assert found.shape("w1") == (3, 2, 3)
    assert found.shape("w2") == (3, 3, 3)
    assert found.difference < EXACT


def test_layer_normalisation_keeps_what_it_normalises() -> None:
    found = chain(
        "h = Gemm(x, w1, b1) r = Relu(h) n = LayerNormalization<axis=-1>(r, s, t) y = Gemm(n, w2)",
        {"w1": noise(4, 6), "b1": dead_bias(6, 2), "s": noise(6), "t": noise(6), "w2": noise(6, 3)},
        noise(8, 4),
    )
    assert found.reasons("r") == {"normalisation-statistics": (2,)}
    assert found.shape("w2") == (6, 3)
    assert found.difference < EXACT


def test_a_reshape_in_place_of_flatten_passes_the_cut_on() -> None:
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) f = Reshape(r, shape) y = Gemm(f, w2)",
        {
            "w1": noise(4, 2, 3, 3),
            "b1": dead_bias(4, 0, 3),
            "shape": np.array([-1, 64]),
            "w2": noise(64, 3),
        },
        noise(6, 2, 6, 6),
    )
    assert found.shape("w1") == (2, 2, 3, 3)
    assert found.shape("w2") == (32, 3)
    assert found.difference < EXACT


def test_a_zero_in_a_reshape_that_copies_the_length_of_another_axis_is_spelled_out() -> None:
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) s = Reshape(r, shape) m = Transpose<perm = [0, 1, 3, 2]>(s) "
        "p = ReduceSum<keepdims = 0>(m, axes) f = Flatten(p) y = Gemm(f, w2)",
        {
            "w1": noise(8, 2, 1),
            "b1": dead_bias(8, 3, 7),
            "axes": np.array([2]),
            "shape": np.array([0, 2, 0, -1]),  # the third length, 4, is that of the second axis' inner half
            "w2": noise(8, 3),
        },
        noise(6, 2, 4),
    )
    assert found.shape("w1") == (6, 2, 1)
    assert found.shape("w2") == (6, 3)
    assert found.difference < EXACT


def test_bounds_of_a_slice_keep_their_type() -> None:
    found = chain(
        "h = Gemm(x, w1, b1) r = Relu(h) s = Slice(r, from, to, axes) y = Gemm(s, w2)",
        {
            "w1": noise(3, 6),
            "b1": dead_bias(6, 0, 2),
            "from": np.array([1], np.int32),
            "to": np.array([5], np.int32),
            "axes": np.array([1], np.int32),
            "w2": noise(4, 2),
        },
        noise(8, 3),
    )
    assert found.shape("w2") == (3, 2)
    assert found.difference < EXACT


def test_a_backward_slice_from_before_the_front_takes_the_first_index() -> None:
    found = chain(
        "h = Gemm(x, w1, b1) r = Relu(h) s = Slice(r, from, to, axes, back) y = Gemm(s, w2)",
        {
            "w1": noise(3, 4),
            "b1": dead_bias(4, 2),
            "from": np.array([-100]),
            "to": np.array([-200]),
            "axes": np.array([1]),
            "back": np.array([-1]),
            "w2": noise(1, 2),
        },
        noise(8, 3),
    )
    assert found.difference < EXACT


def test_what_feeds_only_dead_units_goes_too() -> None:
    w2 = noise(5, 4)
    w2[1, :3] = 0  # unit 1 of the first layer is read by unit 3 of the second alone, which is dead
    found = chain(
        "h = Gemm(x, w1, b1) r = Relu(h) h2 = Gemm(r, w2, b2) r2 = Relu(h2) y = Gemm(r2, w3)",
        {
            "w1": noise(3, 5),
            "b1": np.full(5, 9, np.float32),
            "w2": np.abs(w2),
            "b2": dead_bias(4, 3),
            "w3": noise(4, 2),
        },
        noise(8, 3),
    )
    assert found.walk.layers[0].dead == ()
    assert found.shape("w1") == (3, 4)
    assert found.shape("w2") == (4, 3)
    assert found.difference < EXACT


def residual(b1: Array, b2: Array) -> Pruned:
    return chain(
        "h = Gemm(x, w1, b1) r = Relu(h) h2 = Gemm(x, w2, b2) r2 = Relu(h2) a = Add(r, r2) y = Gemm(a, w3)",
        {"w1": noise(3, 4), "b1": b1, "w2": noise(3, 4) + 1, "b2": b2, "w3": noise(4, 2)},
        noise(8, 3),
    )


def test_a_residual_dead_in_one_branch_is_locked_by_its_partner() -> None:
    found = residual(dead_bias(4, 1), dead_bias(4))
    assert found.reasons("r") == {"residual-partner-alive": (1,)}
    assert found.shape("w1") == (3, 4)
    assert found.difference < EXACT


def test_a_residual_dead_in_both_branches_goes_everywhere() -> None:
    found = residual(dead_bias(4, 1, 2), dead_bias(4, 1))
    assert found.reasons("r") == {"residual-partner-alive": (2,)}
    assert found.shape("w1") == (3, 3)
    assert found.shape("w3") == (3, 2)
    assert found.difference < EXACT


def test_concatenated_channels_are_counted_from_where_they_stand() -> None:
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) h2 = Conv(x, w2, b2) r2 = Relu(h2) c = Concat<axis=1>(r, r2) y = Conv(c, w3)",
        {
            "w1": noise(3, 2, 1, 1),
            "b1": dead_bias(3, 0),
            "w2": noise(4, 2, 1, 1),
            "b2": dead_bias(4, 2),
            "w3": noise(2, 7, 3, 3),
        },
        noise(5, 2, 6, 6),
    )
    assert found.shape("w3") == (2, 5, 3, 3)
    assert found.walk.closure.keeps.get(("w3", 1)).tolist() == [False, True, True, True, True, False, True]
    assert found.difference < EXACT


def test_a_depthwise_convolution_shrinks_with_its_channels() -> None:
    found = chain(
        "h = Conv(x, w1, b1) r = Relu(h) d = Conv<group=4, pads=[1,1,1,1]>(r, wd) r2 = Relu(d) y = Conv(r2, w3)",
        {"w1": noise(4, 2, 1, 1), "b1": dead_bias(4, 1, 2), "wd": noise(4, 1, 3, 3), "w3": noise(3, 4, 1, 1)},
        noise(5, 2, 6, 6),
    )
    assert found.shape("wd") == (2, 1, 3, 3)
    group = next(a.i for n in found.model.graph.node for a in n.attribute if a.name == "group")
    assert group == 2
    assert found.difference < EXACT


@pytest.mark.parametrize(("bias", "constant"), [(-1e4, 0.0), (1e4, 6.0)])
def test_a_clipped_unit_is_dead_at_either_bound(bias: float, constant: float) -> None:
    found = chain(
        "h = Conv(x, w1, b1) r = Clip(h, low, high) y = Conv(r, w2)",
        {
            "w1": noise(3, 2, 1, 1),
            "b1": np.array([0.5, bias, 0.5], np.float32),
            "low": np.array(0, np.float32),
            "high": np.array(6, np.float32),
            "w2": noise(2, 3, 3, 3),
        },
        noise(5, 2, 6, 6),
    )
    assert (found.walk.layers[0].dead, found.walk.layers[0].stays_at[1]) == ((1,), constant)
    assert found.shape("w2") == (2, 2, 3, 3)
    assert found.difference < EXACT


def test_a_sigmoid_saturated_for_good_is_a_constant() -> None:
    found = chain(
        "h = Gemm(x, w1, b1) r = Sigmoid(h) y = Gemm(r, w2, b2)",
        {"w1": noise(3, 4), "b1": np.array([0, 60, -200, 0], np.float32), "w2": noise(4, 2), "b2": noise(2)},
        noise(8, 3),
    )
    assert found.walk.layers[0].dead[:1] == (1,)
    assert found.shape("w2")[0] <= 3
    assert found.difference < EXACT


def test_a_leaky_relu_behind_zero_weights_is_a_constant() -> None:
    w1 = noise(3, 4)
    w1[:, [0, 2]] = 0
    found = chain(
        "h = Gemm(x, w1, b1) r = LeakyRelu<alpha=0.1>(h) y = Gemm(r, w2, b2)",
        {"w1": w1, "b1": np.array([-3, 1, 2, 1], np.float32), "w2": noise(4, 2), "b2": noise(2)},
        noise(8, 3),
    )
    layer = found.walk.layers[0]
    assert layer.structural == (0, 2)
    assert layer.stays_at[[0, 2]].tolist() == pytest.approx([-0.3, 2.0])
    assert found.shape("w1") == (3, 2)
    assert found.difference < EXACT


def test_a_stem_that_feeds_a_convolution_and_an_add_is_cut_where_both_agree() -> None:
    stored = {
        "w1": noise(4, 2, 1, 1),
        "b1": dead_bias(4, 1),
        "w2": noise(4, 4, 3, 3),
        "b2": dead_bias(4, 1),
        "w3": noise(2, 4, 1, 1),
    }
    body = "h = Conv(x, w1, b1) r = Relu(h) c = Conv<pads=[1,1,1,1]>(r, w2, b2) r2 = Relu(c) "
    body += "a = Add(r, r2) y = Conv(a, w3)"
    found = chain(body, stored, noise(5, 2, 6, 6))
    assert found.shape("w2") == (3, 3, 3, 3)
    assert found.shape("w3") == (2, 3, 1, 1)
    assert found.difference < EXACT
    alive = chain(body, {**stored, "b2": dead_bias(4)}, noise(5, 2, 6, 6))
    assert alive.reasons("r") == {"residual-partner-alive": (1,)}
    assert alive.shape("w2")[0] == 4
    assert alive.difference < EXACT


def test_a_batch_normalisation_seen_constant_beside_a_live_partner_keeps_its_constant() -> None:
    """The convolution in front of it is no longer what it was; the constant must not be."""
    x = noise(6, 3, 5, 5)
    x[:, 0] = 0
    w1 = noise(4, 3, 1, 1)
    w1[2, 1:] = 0  # channel 2 looks at the channel of the input that happens to be zero
    found = chain(
        "h = Conv(x, w1) n = BatchNormalization(h, s, t, m, v) h2 = Conv(x, w2) "
        "a = Add(n, h2) r = Relu(a) y = Conv(r, w3)",
        {
            "w1": w1, "s": noise(4), "t": noise(4), "m": noise(4), "v": np.ones(4, np.float32),
            "w2": noise(4, 3, 1, 1), "w3": noise(2, 4, 1, 1),
        },
        x,
    )  # fmt: skip
    assert found.difference < EXACT


def test_a_graph_output_stays_whole() -> None:
    model = parse(
        "g (float[N, 3] x) => (float[N, 4] r, float[N, 2] y) { h = Gemm(x, w1, b1) r = Relu(h) y = Gemm(r, w2) }",
        {"w1": noise(3, 4), "b1": dead_bias(4, 1), "w2": noise(4, 2)},
    )
    found = audited(model, {"x": noise(8, 3)})
    assert [(locked.reason, locked.units) for locked in found.locked] == [("graph-output", (1,))]
