"""Equal units behind operators that keep them equal: merged, for every input; and units that only look equal."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.facts.choice import Choice
from analyzer.facts.evidence import Evidence
from tests.models import Array, parse, run

MERGE = Choice(merge_duplicates=True, evidence=Evidence.STRUCTURAL)


def weights(seed: int, *shape: int) -> Array:
    made: Array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return made


def equal(seed: int, *shape: int) -> Array:
    """Rows 4 and 5 are row 1 again."""
    made = weights(seed, *shape)
    made[[4, 5]] = made[1]
    return made


DENSE = {"w": equal(1, 6, 4).T.copy(), "b": equal(2, 6), "v": weights(3, 6, 3), "u": equal(4, 6, 4).T.copy()}
MAPS = {"k": equal(1, 6, 3, 3, 3), "m": equal(2, 6, 3, 3, 3), "v": weights(3, 6, 3), "j": weights(4, 2, 6, 1, 1)}
MAPS |= {"j2": weights(5, 2, 12, 1, 1), "s": equal(6, 6, 1, 1), "j9": weights(7, 2, 9, 1, 1)}
MAPS |= {"e": weights(8, 6, 1, 1), "g": weights(9, 1, 3, 3, 3)}
MAPS |= {"t1": equal(1, 6, 3, 3, 3).swapaxes(0, 1).copy(), "t2": weights(4, 6, 2, 1, 1), "j3": weights(4, 2, 5, 1, 1)}
MAPS |= {name: np.array(row) for name, row in {"from": [1], "to": [6], "axis": [1]}.items()}
DENSE |= {"halves": np.array([0, 2, 21]), "v3": weights(5, 21, 3)}


def dense(body: str) -> onnx.ModelProto:
    return parse(f"dense (float[n,7,4] x) => (float[n,7,3] y) {{ {body} }}", DENSE)


def maps(body: str) -> onnx.ModelProto:
    return parse(f"maps (float[n,3,8,8] x) => (y) {{ {body} }}", MAPS)


def merged(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of what is stored in the smaller model, which gives the same for other inputs too."""
    dims = [d.dim_value or 5 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(7).standard_normal(dims).astype(np.float32)
    pruned = analyzer.prune(model, {"x": x}, choice=MERGE, latency=False)
    smaller = onnx.ModelProto.FromString(pruned.data)
    for data in (x, 50 * x[:2], 0 * x[:1]):
        expected = run(model, {"x": data})["y"]
        allowed = 1e-5 * max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(run(smaller, {"x": data})["y"], expected, atol=allowed)
    return {t.name: list(t.dims) for t in smaller.graph.initializer}


@pytest.mark.parametrize(
    "sum_", ["Add(h, b)", "Add(b, h)", "Sub(b, h)", "Max(b, h)", "Mul(b, h)"], ids=lambda text: text.replace(", ", "-")
)
def test_a_stored_operand_may_stand_on_either_side(sum_: str) -> None:
    left = merged(dense(f"h = MatMul(x, w) q = {sum_} a = Relu(q) y = MatMul(a, v)"))
    assert left["w"] == [4, 4]
    assert left["v"] == [4, 3]


def test_a_join_keeps_units_equal_that_are_equal_in_both_branches() -> None:
    left = merged(dense("h = MatMul(x, w) a = Relu(h) o = MatMul(x, u) s = Add(a, o) y = MatMul(s, v)"))
    assert left["w"] == left["u"] == [4, 4]


def test_a_join_does_not_where_one_branch_differs() -> None:
    model = dense("h = MatMul(x, w) a = Relu(h) o = MatMul(x, u) s = Add(a, o) y = MatMul(s, v)")
    model.graph.initializer[3].CopyFrom(onnx.numpy_helper.from_array(weights(4, 4, 6), "u"))
    assert merged(model)["w"] == [4, 6]


def test_a_map_that_scales_all_channels_alike_keeps_units_equal() -> None:
    left = merged(maps("c = Conv(x, k) a = Relu(c) t = Conv(x, g) z = Mul(t, a) y = Conv(z, j)"))
    assert left["k"][0] == 4


def test_a_transpose_takes_the_units_along() -> None:
    left = merged(maps("c = Conv(x, k) a = Relu(c) t = Transpose<perm=[0,2,3,1]>(a) y = MatMul(t, v)"))
    assert left["k"][0] == 4
    assert left["v"] == [4, 3]


def test_equal_channels_of_each_part_of_a_concat_are_merged() -> None:
    left = merged(maps("c = Conv(x, k) a = Relu(c) d = Conv(x, m) z = Concat<axis=1>(a, d) y = Conv(z, j2)"))
    assert left["k"][0] == left["m"][0] == 4
    assert left["j2"][1] == 8


def test_parts_of_a_concat_that_nothing_is_known_of_stay() -> None:
    left = merged(
        maps(
            "p = Conv(x, k) c = Relu(p) q = AveragePool<kernel_shape=[3,3]>(x) z = Concat<axis=1>(q, c) y = Conv(z, j9)"
        )
    )
    assert left["k"][0] == 4
    assert left["j9"][1] == 7


def test_a_value_that_is_joined_with_itself_is_cut_in_both_places() -> None:
    left = merged(maps("c = Conv(x, k) a = Relu(c) z = Concat<axis=1>(a, a) y = Conv(z, j2)"))
    assert left["k"][0] == 4
    assert left["j2"][1] == 8


@pytest.mark.parametrize(("factor", "width"), [("s", 4), ("e", 6)])
def test_a_factor_for_each_channel_keeps_those_equal_for_which_it_is_equal(factor: str, width: int) -> None:
    assert merged(maps(f"c = Conv(x, k) a = Relu(c) z = Mul(a, {factor}) y = Conv(z, j)"))["k"][0] == width


def test_equal_channels_of_a_transposed_convolution_are_merged_and_read_by_another() -> None:
    left = merged(maps("c = ConvTranspose(x, t1) a = Relu(c) y = ConvTranspose(a, t2)"))
    assert left["t1"][1] == left["t2"][0] == 4


def test_a_layer_with_its_activation_inside_has_equal_units_too() -> None:
    left = merged(maps('a = com.microsoft.FusedConv<activation="Relu">(x, k) y = Conv(a, j)'))
    assert left["k"][0] == left["j"][1] == 4


def test_a_slice_takes_the_units_along() -> None:
    left = merged(maps("c = Conv(x, k) a = Relu(c) z = Slice(a, from, to, axis) y = Conv(z, j3)"))
    assert left["k"][0] == left["j3"][1] == 3


def test_a_reshape_that_takes_units_apart_keeps_them_apart() -> None:
    """Two units that are equal hold other positions at the same place of the reshaped value."""
    left = merged(dense("h = MatMul(x, w) a = Relu(h) r = Reshape(a, halves) y = MatMul(r, v3)"))
    assert left["v3"] == [21, 3]
