"""Two models on the same data: how far apart, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from analyzer.facts.pruned import Comparison
from analyzer.facts.tolerances import REORDERED
from analyzer.rewrite.comparison import compare, perturbed, rows_depend_on_others
from analyzer.rewrite.latency import LEAST_RUNS, measure_latency
from analyzer.rewrite.unit_moments import unit_moments
from analyzer.runtime.loading import load_model
from tests.models import Array, parse


class Fixed:
    """Stands in for a session: answers with what it was given, whatever the feed."""

    fitting = 1

    def __init__(self, **answers: Array) -> None:
        self.answers = answers
        self.output_names = tuple(answers)
        self.runs = 0

    def run(self, feeds: Any) -> dict[str, Array]:
        self.runs += 1
        return self.answers

    def run_each(self, feeds: Sequence[Any]) -> list[dict[str, Array]]:
        return [self.run(feed) for feed in feeds]


class InTurn(Fixed):
    """Answers each run with the next of its arrays."""

    def run(self, feeds: Any) -> dict[str, Array]:
        self.runs += 1
        return {name: arrays[self.runs - 1] for name, arrays in self.answers.items()}


def compared(a: Array, b: Array, quantised: bool = False) -> Comparison:
    return compare(Fixed(y=a), Fixed(y=b), [({}, len(a))], source="here", quantised=quantised)  # type: ignore[arg-type]


ONES = np.ones((4, 3), np.float32)


def test_the_difference_is_told_in_itself_and_of_the_scale() -> None:
    found = compared(10 * ONES, 10 * ONES + np.float32(1e-3))
    assert found.max_abs_difference == pytest.approx(1e-3, rel=1e-2)
    assert found.max_relative_difference == pytest.approx(1e-4, rel=1e-2)
    assert (found.samples, found.source, found.within) == (4, "here", False)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_is_that_of_the_numbers(scale: float) -> None:
    one = np.float32(scale) * ONES
    assert compared(one, one * np.float32(1 + 1e-5)).within
    assert not compared(one, one * np.float32(1 + 2e-4)).within


def test_the_coarsest_type_on_the_way_says_how_much_is_allowed() -> None:
    fixed = Fixed(y=ONES), Fixed(y=ONES * np.float32(1.01))
    for coarsest, within in (("", False), ("float64", False), ("float16", True), ("bfloat16", True)):
        found = compare(*fixed, [({}, 4)], source="here", types={"y": coarsest})  # type: ignore[arg-type]
        assert found.within is within, coarsest
    whole = Fixed(y=np.ones(3, np.int64)), Fixed(y=np.full(3, 2))
    assert not compare(*whole, [({}, 3)], source="here", types={"y": "bfloat16"}).within  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_each_element_type_has_its_tolerance(dtype: str) -> None:
    a = np.ones((4, 3), dtype)
    assert compared(a, (a * (1 + REORDERED[dtype] / 2)).astype(dtype)).within
    assert not compared(a, (a * (1 + REORDERED[dtype] * 3)).astype(dtype)).within


def test_quantised_models_may_differ_by_a_step() -> None:
    assert compared(ONES, ONES * np.float32(1.01), quantised=True).within


@pytest.mark.parametrize(
    "other", [np.full((4, 3), np.nan, np.float32), np.full((4, 3), np.inf, np.float32), np.ones((4, 2), np.float32)]
)
def test_what_is_not_finite_or_of_another_shape_never_agrees(other: Array) -> None:
    assert not compared(ONES, other).within
    assert compared(ONES, other).max_abs_difference == np.inf


def test_the_same_nans_and_infinities_agree() -> None:
    strange = np.array([[np.nan, np.inf, 1.0]], np.float32)
    assert compared(strange, strange.copy()).within
    assert compared(strange, strange.copy()).samples == 1


@pytest.mark.parametrize("other", [[-np.inf, 1], [np.nan, 1]])
def test_other_values_that_are_not_finite_never_agree(other: list[float]) -> None:
    infinite = np.array([[np.inf, 1]], np.float32)
    assert not compared(infinite, np.array([other], np.float32)).within


@pytest.mark.parametrize("differs", [0, 1, 2])
def test_every_batch_counts_and_the_scale_is_that_of_the_original(differs: int) -> None:
    """Whichever of several batches differs, and however large the numbers of the others are."""
    ones = np.stack([ONES, 2 * ONES, 3 * ONES])
    twos = ones.copy()
    twos[differs] += 600
    found = compare(InTurn(y=ones), InTurn(y=twos), [({}, 4)] * 3, source="here")  # type: ignore[arg-type]
    assert found.samples == 12
    assert found.max_abs_difference == pytest.approx(600)
    assert found.max_relative_difference == pytest.approx(200)


@pytest.mark.parametrize("nothing", [np.full((4, 3), np.nan, np.float32), np.zeros((4, 0), np.int64)])
def test_what_shows_nothing_counts_as_no_sample(nothing: Array) -> None:
    assert compared(nothing, nothing.copy()).samples == 0


@pytest.mark.parametrize(("axis", "shift"), [(0, 0), (1, 0), (1, 1), (None, 0), (None, 1)])
def test_samples_that_share_a_feed_are_found_where_they_lie(axis: int | None, shift: int) -> None:
    """Beside each other along whichever axis grew, or in a value that no sample changes."""
    single = np.arange(6, dtype=np.float32).reshape(2, 3)
    together = single if axis is None else np.concatenate([single, single], axis)
    answers = iter([{"y": together + np.float32(shift)}, {"y": single}, {"y": single}])

    class Answers:
        output_names = ("y",)

        def run(self, feeds: Any) -> dict[str, Array]:
            return next(answers)

    assert rows_depend_on_others(Answers(), {}, [{}, {}]) == bool(shift)  # type: ignore[arg-type]


@pytest.mark.parametrize("quantised", [False, True])
def test_samples_may_move_each_other_by_a_step_where_there_are_steps(quantised: bool) -> None:
    rows = InTurn(y=[ONES * np.float32(1.01), ONES[:2], ONES[2:]])  # type: ignore[arg-type]
    assert rows_depend_on_others(rows, {}, [{}, {}], quantised=quantised) != quantised  # type: ignore[arg-type]


def test_whole_numbers_agree_exactly_or_not_at_all() -> None:
    assert compared(np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3)).within
    assert not compared(np.arange(6).reshape(2, 3), np.arange(1, 7).reshape(2, 3)).within


def test_the_top_answer_is_counted_for_what_looks_like_a_classifier() -> None:
    a = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    b = np.array([[1, 2, 3], [1, 2, 3]], np.float32)
    assert compared(a, b).outputs[0].top1 == 0.5
    assert compared(a[:, :, None], b[:, :, None]).outputs[0].top1 is None
    a[0, 0] = np.nan
    assert compared(a, a).outputs[0].top1 is None


def test_noise_is_the_same_every_time_and_spares_whole_numbers() -> None:
    feeds: dict[str, Array] = {
        "x": np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32),
        "i": np.arange(5),
        "v": np.arange(5, dtype=np.float32),
    }
    (one, n), (two, _) = (next(iter(perturbed([(feeds, 5)]))) for _ in range(2))
    assert n == 5
    assert np.array_equal(one["x"], two["x"])
    for name in ("x", "v"):
        assert 0 < np.abs(one[name] - feeds[name]).max() < 0.5
    assert one["i"] is feeds["i"]
    ((held, _),) = perturbed([(feeds, 5)], ["x"])
    assert held["x"] is feeds["x"]
    assert held["v"] is not feeds["v"]


def test_runs_alternate_until_the_spread_is_known() -> None:
    before, after = Fixed(y=ONES), Fixed(y=ONES)
    found = measure_latency(before, after, {}, batch=4, seconds=0.0)  # type: ignore[arg-type]
    assert before.runs == after.runs == LEAST_RUNS + 1
    assert found.ratio_low <= found.ratio <= found.ratio_high
    assert (found.runs, found.batch) == (LEAST_RUNS, 4)


def test_moments_are_over_all_samples_and_positions() -> None:
    model = parse("g (float[N,2,3] x) => (float[N,2,3] y) {\na = Relu(x)\ny = Neg(a)\n}")
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    moments = unit_moments(load_model(model), {"a": 1, "y": 2}, [{"x": x[:2]}, {"x": x[2:]}])
    a = np.maximum(x, 0)
    for value, sign, others in (("a", 1, (0, 2)), ("y", -1, (0, 1))):
        mean, variance = moments[value]
        np.testing.assert_allclose(mean, sign * a.mean(axis=others), rtol=1e-6)
        np.testing.assert_allclose(variance, a.var(axis=others), rtol=1e-5)
