"""From statistics to verdicts, for every kind of value and every preset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.statistics import UnitStatistics
from analyzer.facts.thresholds import PRESETS, Thresholds
from analyzer.facts.units import AuditedValue, Kind
from analyzer.facts.verdicts import compare_holdout, verdicts_of
from tests.made import by_weights, gelu, layer, linear, relu, seen, tanh


def test_a_unit_that_is_zero_everywhere_is_dead_and_not_constant() -> None:
    verdicts = layer(relu(3), seen([0, 0, 0], [0, 2, 0]))
    assert verdicts.dead == (0, 2)
    assert verdicts.constant == ()
    assert verdicts.stays_at[[0, 2]].tolist() == [0.0, 0.0]


def test_a_unit_stuck_at_another_value_is_dead_and_constant() -> None:
    verdicts = layer(relu(3), seen([0, 6, 0], [0, 6, 1]))
    assert verdicts.dead == (0, 1)
    assert verdicts.constant == (1,)
    assert verdicts.stays_at[[0, 1]].tolist() == [0.0, 6.0]


def test_negative_zero_is_zero() -> None:
    assert layer(relu(1), seen([-0.0], [0.0])).constant == ()


def test_no_samples_say_nothing() -> None:
    verdicts = layer(relu(2), UnitStatistics.empty(2))
    assert (verdicts.dead, verdicts.near_dead, verdicts.always_on) == ((), (), ())
    assert verdicts.firing_bound is None


@pytest.mark.parametrize("audited", [relu(1), linear(1)], ids=["relu", "linear"])
def test_a_rectifier_and_a_linear_output_are_constant_only_exactly(audited: AuditedValue) -> None:
    next_float = float(np.nextafter(np.float32(6), np.float32(7)))
    assert layer(audited, seen([6.0], [next_float])).dead == ()


def test_integers_that_doubles_do_not_tell_apart_are_told_apart() -> None:
    large = 2**60
    integers = UnitStatistics.empty(2, "int64")
    shown = replace(integers, samples=3, minimum=np.array([large, large]), maximum=np.array([large, large + 1]))
    verdicts = layer(replace(relu(2), dtype="int64"), shown)
    assert verdicts.dead == (0,)
    assert verdicts.stays_at[0] == large


@pytest.mark.parametrize("audited", [tanh(2), gelu(2)], ids=["tanh", "gelu"])
def test_a_smooth_value_may_differ_by_a_few_units_in_the_last_place(audited: AuditedValue) -> None:
    ulp = float(np.spacing(np.float32(0.7)))
    verdicts = layer(audited, seen([0.7, 0.7], [0.7 + 4 * ulp, 0.7 + 5 * ulp]))
    assert verdicts.dead == (0,)
    assert verdicts.stays_at[0] == pytest.approx(0.7 + 2 * ulp, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(magnitude=st.floats(1e-3, 1e4))
def test_the_tolerance_follows_the_element_type(dtype: str, magnitude: float) -> None:
    top = np.dtype(dtype).type(magnitude)
    below = top - 4 * np.spacing(top / 4)  # at most 4 units in the last place of `top`
    far = top - 6 * np.spacing(top)
    verdicts = layer(replace(gelu(2), dtype=dtype), seen([float(below), float(far)], [float(top)] * 2))
    assert verdicts.dead == (0,)


@pytest.mark.parametrize(("dtype", "step"), [("float16", 1 / 1024), ("bfloat16", 1 / 128)])
def test_a_step_of_half_precision_is_no_rounding(dtype: str, step: float) -> None:
    assert layer(replace(gelu(2), dtype=dtype), seen([1.0, 1.0], [1.0, 1 + step])).dead == (0,)


def test_an_element_type_without_a_known_precision_is_compared_exactly() -> None:
    assert layer(replace(gelu(2), dtype="int8"), seen([3, 3], [3, 4])).dead == (0,)


def test_around_zero_the_tolerance_vanishes() -> None:
    assert layer(gelu(1), seen([-1e-30], [1e-30])).dead == ()


def test_a_unit_whose_minimum_is_not_known_is_not_dead() -> None:
    verdicts = layer(relu(1), seen([1.0], [1.0], minimum_exact=[False]))
    assert verdicts.dead == ()
    assert verdicts.always_on == ()


def test_nan_or_infinity_take_every_verdict_away() -> None:
    verdicts = layer(relu(2), seen([0, 0], [0, 0], nonfinite=[1, 0]))
    assert verdicts.dead == (1,)
    assert verdicts.nonfinite == (0,)
    assert verdicts.near_dead == ()


def test_a_unit_of_which_no_sample_was_finite_is_not_dead() -> None:
    verdicts = layer(tanh(1), seen([np.inf], [-np.inf], nonfinite=[100]))
    assert verdicts.dead == ()
    assert verdicts.nonfinite == (0,)


def test_near_dead_fires_on_at_most_one_percent() -> None:
    verdicts = layer(relu(4), seen([0] * 4, [0, 1, 1, 1], samples=200, fired=[0, 1, 2, 3]))
    assert verdicts.near_dead == (1, 2)
    assert verdicts.dead == (0,)


def test_only_a_rectifier_can_be_near_dead_by_firing() -> None:
    assert layer(linear(1), seen([-1.0], [1.0], fired=[0])).near_dead == ()
    assert layer(replace(relu(1), low=None, high=6.0), seen([-9.0], [-1.0], fired=[0])).near_dead == ()


def test_always_on_never_touches_a_flat_region() -> None:
    relu6 = replace(relu(3), high=6.0)
    assert layer(relu6, seen([0.1, 0.1, 0.0], [5, 6, 5])).always_on == (0,)
    assert layer(relu(2), seen([0.1, 0.0], [9, 9])).always_on == (0,)


def test_saturated_is_flat_on_a_share_of_all_samples() -> None:
    statistics = seen([-1, -1, -1], [1, 1, 0.9], low_samples=[50, 50, 0], high_samples=[50, 48, 0])
    assert layer(tanh(3), statistics).saturated == (0,)


def test_samples_that_nobody_looked_at_are_not_flat() -> None:
    statistics = seen([-1.0], [1.0], low_samples=[10], flat_samples=[10])
    assert layer(tanh(1), statistics).saturated == ()


def test_a_constant_saturated_unit_is_dead_not_saturated() -> None:
    verdicts = layer(tanh(1), seen([1.0], [1.0], high_samples=[100]))
    assert (verdicts.dead, verdicts.constant, verdicts.saturated) == ((0,), (0,), ())


@given(st.lists(st.tuples(st.floats(-2, 7), st.floats(0, 3), st.integers(0, 100)), min_size=1, max_size=20))
def test_verdicts_never_overlap_dead(units: list[tuple[float, float, int]]) -> None:
    low = [u[0] for u in units]
    high = [u[0] + u[1] for u in units]
    fired = [u[2] for u in units]
    for audited in (relu(len(units)), tanh(len(units)), linear(len(units))):
        verdicts = layer(audited, seen(low, high, fired=fired, low_samples=fired))
        for other in (verdicts.near_dead, verdicts.saturated, verdicts.always_on):
            assert not set(verdicts.dead) & set(other)


def test_the_firing_bound_is_that_of_none_in_all_samples() -> None:
    assert layer(relu(1), seen([0], [0], samples=59)).firing_bound == pytest.approx(0.0495, abs=1e-4)


def test_strict_allows_no_tolerance() -> None:
    ulp = float(np.spacing(np.float32(0.7)))
    assert verdicts_of(tanh(1), seen([0.7], [0.7 + ulp]), PRESETS["strict"]).dead == ()
    assert verdicts_of(relu(1), seen([0.0], [1.0], fired=[1]), PRESETS["strict"]).near_dead == ()


def test_apoz_is_relative_to_its_layer() -> None:
    zeros = np.array([10, 10, 10, 90, 100])
    statistics = seen([0] * 5, [1, 1, 1, 1, 0], positions=[100] * 5, zeros=zeros)
    assert verdicts_of(relu(5), statistics, PRESETS["apoz"]).near_dead == (3,)  # mean 44, sd 42.2: above 86.2
    absolute = Thresholds(apoz=0.5)
    assert verdicts_of(relu(5), statistics, absolute).near_dead == (3,)


def test_dormant_is_small_beside_its_layer() -> None:
    statistics = seen([0] * 4, [1, 1, 1, 0], positions=[10] * 4, absolute_sum=np.array([10.0, 10.0, 0.1, 0.0]))
    verdicts = verdicts_of(relu(4), statistics, PRESETS["dormant"])
    assert verdicts.near_dead == (2,)
    assert verdicts.dead == (3,)


@pytest.mark.parametrize("preset", ["apoz", "dormant"])
def test_scores_of_positions_say_nothing_where_none_were_counted(preset: str) -> None:
    assert PRESETS[preset].needs_positions
    assert verdicts_of(relu(2), seen([0, 0], [1, 1], fired=[0, 0]), PRESETS[preset]).near_dead == ()
    assert verdicts_of(linear(2), seen([0, 0], [1, 1], positions=[9, 9]), PRESETS[preset]).near_dead == ()


def test_every_preset_is_named_after_itself() -> None:
    assert {name: preset.preset for name, preset in PRESETS.items()} == {name: name for name in PRESETS}


def test_the_holdout_revives_what_moves_on_it() -> None:
    probe = layer(relu(3), seen([0, 0, 0], [0, 0, 1]))
    assert compare_holdout(probe, seen([0, 0, 0], [0, 2, 1]), Thresholds()).revived == (1,)


def test_constant_at_two_values_is_revived() -> None:
    probe = layer(relu(1), seen([2.0], [2.0]))
    assert compare_holdout(probe, seen([3.0], [3.0]), Thresholds()).revived == (0,)


def test_structural_units_are_never_revived() -> None:
    probe = by_weights(layer(relu(2), seen([0, 0], [0, 0])), 0)
    assert compare_holdout(probe, seen([0, 0], [1, 1]), Thresholds()).revived == (1,)


def test_nan_on_the_holdout_revives() -> None:
    probe = layer(relu(1), seen([0.0], [0.0]))
    assert compare_holdout(probe, seen([0.0], [0.0], nonfinite=[1]), Thresholds()).revived == (0,)


def test_an_empty_holdout_revives_nothing() -> None:
    probe = layer(relu(1), seen([0.0], [0.0]))
    assert compare_holdout(probe, UnitStatistics.empty(1), Thresholds()).revived == ()


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_order_of_shards_does_not_matter(first: int, second: int) -> None:
    a, b = seen([0.0, 0.0], [0.0, 1.0], samples=first), seen([0.0, 0.0], [0.0, 2.0], samples=second)
    forward, backward = layer(relu(2), a.merge(b)), layer(relu(2), b.merge(a))
    assert (forward.dead, forward.near_dead) == (backward.dead, backward.near_dead) == ((0,), ())


def test_a_kind_is_named_as_in_the_report() -> None:
    assert [str(kind) for kind in Kind] == ["rectifier", "saturating", "smooth", "linear"]
