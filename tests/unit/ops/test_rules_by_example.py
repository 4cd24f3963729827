"""Single facts about single operators that once were wrong, or that a reader would doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.graph.deferred import made
from analyzer.ops.operator import BARRIER, Barrier, all_rules, register
from tests.laws.benches import Bench, positive
from tests.laws.draws import call
from tests.models import Array


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def derived(case: Any, **known: Constants) -> Constants:
    bench = Bench(case)
    facts = {n: known.get(n, Constants.unknown(a.ndim)) for n, a in case.feeds.items()}
    return bench.constants(bench.facts(facts))[0]


def along(axis: int, rank: int, values: Sequence[float | None]) -> Constants:
    """Known where a number is given."""
    shape = [1] * rank
    shape[axis] = len(values)
    known = np.array([v is not None for v in values]).reshape(shape)
    return Constants(known, np.array([v or 0.0 for v in values]).reshape(shape))


def test_whole_numbers_divide_to_whole_numbers() -> None:
    seven = along(1, 2, [7.0, None, None])
    case = call("Div", np.ones((1, 3), np.int64), np.full((1, 3), 2, np.int64))
    assert not derived(case, x0=seven).any
    assert derived(call("Div", ones(1, 3), 2 * ones(1, 3)), x0=seven).number[0, 0] == 3.5


def test_whole_numbers_that_would_wrap_around_are_not_claimed() -> None:
    case = call("Sub", np.ones((1, 2), np.uint8), np.full((1, 2), 5, np.uint8))
    assert derived(case, x0=along(1, 2, [9.0, 2.0])).known.tolist() == [[True, False]]
    assert not derived(call("Cast", ones(1, 2), to=2), x0=along(1, 2, [-3.0, -4.0])).any
    both = call("Sub", np.ones((1, 2), np.uint8), np.ones((1, 2), np.uint8), fed=(0, 1))
    assert not derived(both, x0=along(1, 2, [1.0, 2.0]), x1=along(1, 2, [2.0, 3.0])).any


def test_a_root_of_a_negative_number_is_none() -> None:
    case = call("Pow", ones(1, 4), np.array([[0.5, 2, 3, 0.5]], np.float32))
    claim = derived(case, x0=along(1, 2, [-4.0, -2.0, -2.0, 4.0]))
    assert claim.known.tolist() == [[False, True, True, True]]
    assert claim.number.tolist() == [[0.0, 4.0, -8.0, 2.0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
def test_of_an_unknown_type_only_what_all_types_hold_is_claimed(dtype: Any) -> None:
    bench = Bench(call("Sub", np.ones((1, 3), dtype), np.ones((1, 3), dtype), fed=(0, 1)))
    facts = bench.facts({"x0": along(1, 2, [1.0, 2.0, 0.0]), "x1": along(1, 2, [2.0, 1.0, -128.0])})
    (claim,) = bench.call.rule.constants(replace(bench.op, y_dtype=None), facts)
    assert claim.known.tolist() == [[False, True, False]]


@pytest.mark.parametrize(("bias", "claimed"), [(1000, True), (2**31 - 100, False)])
def test_a_sum_of_integers_that_would_wrap_around_is_not_claimed(bias: int, claimed: bool) -> None:
    one, zero, weight = np.array(1, np.float32), np.array(0, np.uint8), np.full((2, 1), 100, np.int8)
    stored = (one, zero, weight, one, np.array(0, np.int8), np.array([bias], np.int32), one, zero)
    case = call("QGemm", np.ones((1, 2), np.uint8), *stored, domain="com.microsoft")
    assert derived(case, x0=along(1, 2, [1.0, 1.0])).all == claimed


@pytest.mark.parametrize(
    ("op", "dtype", "stored", "affine"),
    [
        ("Div", np.int64, 2, False),
        ("Div", np.int32, -1, True),
        ("Div", np.float32, 2, True),
        ("Div", np.float32, 0, False),
        ("Mul", np.int64, 2, True),
        ("Mul", np.uint8, 2, False),
        ("Sub", np.uint8, 2, False),
        ("Add", np.int8, 2, False),
    ],
)
def test_whole_numbers_are_scaled_and_shifted_only_where_no_fraction_is_cut_off_and_nothing_wraps_around(
    op: str, dtype: Any, stored: int, affine: bool
) -> None:
    bench = Bench(call(op, np.ones((1, 3), dtype), np.full((1, 3), stored, dtype)))
    assert (bench.call.rule.affine(bench.op) is not None) == affine


def test_a_mean_of_whole_numbers_is_claimed_where_it_is_whole() -> None:
    known = along(1, 2, [1.0, 2.0])
    assert not derived(call("ReduceMean", np.ones((1, 2), np.int32), np.array([1])), x0=known).any
    assert derived(call("ReduceMean", ones(1, 2), np.array([1])), x0=known).number.tolist() == [[1.5]]


def test_an_eight_bit_float_is_not_claimed() -> None:
    bench = Bench(call("Cast", ones(1, 2), to=1))
    assert bench.call.rule.constants(bench.op, [along(1, 2, [1.0, 2.0])])[0].all


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_zero_column_is_constant_whatever_comes_in(op: str) -> None:
    weight = ones(3, 4)
    weight[:, 2] = 0
    assert np.broadcast_to(derived(call(op, ones(2, 3), weight)).known, (1, 4)).tolist() == [
        [False, False, True, False]
    ]


def test_a_constant_that_differs_from_row_to_row_cannot_go_into_a_bias() -> None:
    case = call("MatMul", ones(2, 3), ones(3, 4))
    bench = Bench(case)
    rows = Constants(np.ones((2, 1), np.bool_), np.array([[1.0], [2.0]]))
    facts = bench.facts({"x0": rows})
    (claim,) = bench.constants(facts)
    assert np.broadcast_to(claim.number, (2, 4)).tolist() == [[3.0] * 4, [6.0] * 4]
    half = Constants(np.array([[True], [False]]), np.array([[1.0], [0.0]]))
    facts = bench.facts({"x0": half})
    needs = bench.call.rule.needs(bench.op, [np.ones((1, 1), np.bool_)], facts, bench.constants(facts))
    assert needs[0].any()


def test_instance_normalisation_needs_every_position_of_a_channel() -> None:
    bench = Bench(call("InstanceNormalization", ones(1, 2, 3), ones(2), ones(2)))
    asked = np.array([[[True, False, False], [False, False, False]]])
    facts = bench.facts({"x0": Constants.unknown(3)})
    needs = bench.call.rule.needs(bench.op, [asked], facts, bench.constants(facts))[0]
    assert needs.reshape(-1).tolist() == [True, False]


def test_zero_padding_makes_multiples_of_one_map_over_two_axes() -> None:
    case = call("Pad", ones(1, 3, 4, 4), np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    found = derived(case, x0=along(1, 4, [2.0, None, 0.0]))
    assert found.multiples is not None
    assert found.multiples.held.reshape(-1).tolist() == [True, False, True]
    assert found.multiples.factor.reshape(-1).tolist() == [2.0, 0.0, 0.0]
    assert found.known.reshape(-1).tolist() == [False, False, True]


def test_padded_channels_are_not_part_of_the_map() -> None:
    case = call("Pad", ones(1, 2, 4), np.array([0, 1, 1, 0, 0, 0]))
    found = derived(case, x0=Constants(np.ones((1, 1, 1), np.bool_), np.full((1, 1, 1), 3.0)))
    assert not found.any
    assert found.multiples is not None
    assert found.multiples.factor.reshape(-1).tolist() == [0.0, 3.0, 3.0]


def test_a_border_filled_with_a_number_is_no_multiple() -> None:
    roi = np.array([0, 0, 0.1, -0.2, 1, 1, 1.2, 0.9], np.float32)
    case = call(
        "Resize", ones(1, 2, 3, 3), roi, np.array([1, 1, 2, 2], np.float32), opset=13, mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0,
    )  # fmt: skip
    found = derived(case, x0=along(1, 4, [1.0, 2.0]))
    assert found.multiples is None
    assert not found.any


def test_quantisation_to_signed_bytes_saturates_where_signed_bytes_end() -> None:
    case = call("QuantizeLinear", ones(1, 2), np.array(0.5, np.float32), opset=21, output_dtype=3)
    assert derived(case, x0=along(1, 2, [100.0, -100.0])).number.tolist() == [[127.0, -128.0]]


def test_a_bias_computed_at_run_time_makes_a_convolution_a_barrier() -> None:
    bench = Bench(call("Conv", ones(1, 2, 3, 3), ones(2, 2, 1, 1), ones(2), fed=(0, 2)))
    assert bench.call.rule is BARRIER
    assert bench.call.barrier is not None


def test_a_squeeze_that_names_no_axes_names_them_once_another_axis_shrinks_to_one() -> None:
    from analyzer.ops.node_edit import Cut

    bench = Bench(call("Squeeze", ones(2, 3, 1), opset=13))
    keeps = Growth(bench.context.shapes)
    keeps.grow_all("x0", [np.array([True, False]), np.ones(3, np.bool_), np.ones(1, np.bool_)])
    unknown = [Constants.unknown(3)]
    edit = bench.call.rule.shrink(bench.op, Cut(keeps.final(), unknown, unknown, unknown))
    assert made(edit.inputs[1]).tolist() == [2]


def test_an_average_over_padding_falls_off_at_the_border() -> None:
    case = call("AveragePool", ones(1, 2, 4, 4), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    found = derived(case, x0=along(1, 4, [2.0, None]))
    assert not found.any
    assert found.multiples is not None
    plain = call("AveragePool", ones(1, 2, 4, 4), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    assert derived(plain, x0=along(1, 4, [2.0, None])).known.reshape(-1).tolist() == [True, False]


def test_a_logarithm_of_what_may_be_negative_is_not_claimed() -> None:
    case = call("Log", ones(1, 2), samplers={0: positive()})
    assert derived(case, x0=along(1, 2, [-1.0, 1.0])).known.tolist() == [[False, True]]


def test_multiply_adds_count_the_whole_batch() -> None:
    bench = Bench(call("Conv", ones(3, 2, 4, 4), ones(5, 2, 3, 3)))
    assert bench.call.multiply_adds(bench.context.shapes.__getitem__) == 3 * 5 * 2 * 2 * 2 * 9


def test_two_rules_for_one_operator_are_a_mistake() -> None:
    assert ("", "Conv") in all_rules()  # rules are read when they are first asked for
    with pytest.raises(ValueError, match="two rules for ::Conv"):
        register(Barrier(), "Conv")


def test_a_window_that_lies_wholly_in_the_padding_makes_a_pool_a_barrier() -> None:
    bench = Bench(call("MaxPool", ones(1, 1, 1, 5), kernel_shape=[2, 2], dilations=[2, 1], pads=[1, 0, 1, 0], opset=12))
    assert bench.call.rule is BARRIER
