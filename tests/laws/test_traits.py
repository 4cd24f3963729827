"""Every trait of every operator, on random cases that onnxruntime runs; and a flipped trait breaks its law."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from analyzer.ops.operator import all_rules, all_traits, traits_of
from analyzer.ops.traits import EVERY, NONE, Traits
from tests.laws import trait_laws
from tests.laws.benches import Bench, Case, whole
from tests.laws.cases import RULES, case_of
from tests.laws.draws import GENERATORS, call
from tests.laws.trait_laws import TRAIT_LAWS, TraitLaw

CASES = 6
TRIES = 200


@pytest.mark.parametrize("rule", RULES, ids="-".join)
def test_traits_are_true(rule: tuple[str, str]) -> None:
    for seed in range(CASES):
        random = Random(seed)
        bench = Bench(case_of(rule, random))
        for law in TRAIT_LAWS:
            law(bench, random)


#: An operator that no generator knows, and a call in which another input decides lengths.
DRAWING = call("Bernoulli", np.full((40,), 0.5, np.float32), opset=15)
COUNTING = call("TopK", np.arange(6, dtype=np.float32), np.array([4]), fed=(0, 1), outputs=2, samplers={1: whole(1, 6)})
FLIPPED: list[tuple[str, dict[str, Any], TraitLaw]] = [
    ("Floor", {"jumps": False}, trait_laws.last_digits_stay_last_digits),
    ("Equal", {"jumps": False}, trait_laws.last_digits_stay_last_digits),
    ("QuantizeLinear", {"jumps": False}, trait_laws.last_digits_stay_last_digits),
    ("QLinearAdd", {"jumps": False}, trait_laws.steps_are_jumps),
    ("Hardmax", {"jumps": False}, trait_laws.last_digits_stay_last_digits),
    ("Shrink", {"jumps": False}, trait_laws.last_digits_stay_last_digits),
    ("Bernoulli", {"draws": False}, trait_laws.runs_repeat),
    ("Sigmoid", {"exact_in": EVERY}, trait_laws.exact_operands_give_the_formula_itself),
    ("MatMul", {"exact_in": EVERY}, trait_laws.exact_operands_give_the_formula_itself),
    ("Reshape", {"lengths_from": NONE}, trait_laws.lengths_follow_only_what_is_named),
    ("Slice", {"lengths_from": NONE}, trait_laws.lengths_follow_only_what_is_named),
    ("TopK", {"lengths_from": NONE}, trait_laws.lengths_follow_only_what_is_named),
    ("Conv", {"windows": NONE}, trait_laws.no_other_lengths_are_rounded),
    ("MaxPool", {"windows": NONE}, trait_laws.no_other_lengths_are_rounded),
    ("GlobalMaxPool", {"carries_nan": (0,)}, trait_laws.nan_shows),
    ("Slice", {"carries_nan": (0,)}, trait_laws.nan_shows),
    ("Sigmoid", {"carries_infinity": (0,)}, trait_laws.infinities_show),
    ("Clip", {"carries_infinity": (0,)}, trait_laws.infinities_show),
    ("AveragePool", {"keeps_maximum": True}, trait_laws.maxima_are_kept),
    ("Slice", {"keeps_elements": True}, trait_laws.elements_are_kept),
    ("Neg", {"measures": True}, trait_laws.what_measures_reads_no_values),
    ("Size", {"lists_lengths": True}, trait_laws.what_measures_reads_no_values),
    ("Unsqueeze", {"target": 1}, trait_laws.a_target_spells_out_lengths),
    ("Add", {"geometry": (0,)}, trait_laws.places_are_no_contents),
    ("Cast", {"passes_geometry": True}, trait_laws.places_come_out_of_places),
    ("Reshape", {"regroups": False}, trait_laws.other_lengths_join_the_same_axes),
    ("Relu", {"quantises": True}, trait_laws.steps_are_jumps),
    ("QuantizeLinear", {"shares_scale": True}, trait_laws.a_shared_scale_rounds_by_a_step),
    ("MatMul", {"sums_products": False}, trait_laws.what_sums_no_products_has_no_weights),
    ("Conv", {"sums_products": False}, trait_laws.what_sums_no_products_has_no_weights),
    ("LSTM", {"sums_products": False}, trait_laws.what_sums_no_products_has_no_weights),
]


def _case(key: tuple[str, str], random: Random) -> Case:
    alone = {"Bernoulli": DRAWING, "TopK": COUNTING}
    return alone[key[1]] if key[1] in alone else case_of(key, random)


@pytest.mark.parametrize(("op_type", "flip", "law"), FLIPPED, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_flipped_trait_breaks_a_law(
    op_type: str, flip: dict[str, Any], law: TraitLaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = next((k for k in (("", op_type), ("com.microsoft", op_type)) if k in GENERATORS), ("", op_type))
    monkeypatch.setitem(all_traits(), key, replace(all_traits().get(key, Traits()), **flip))
    with pytest.raises(AssertionError):
        for seed in range(TRIES):
            random = Random(seed)
            law(Bench(_case(key, random)), random)


def test_a_slice_in_steps_that_states_no_rounding_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(all_rules()["", "Slice"]), "traits", lambda self, node, stated, stored: stated)
    with pytest.raises(AssertionError, match="Slice"):
        for seed in range(TRIES):
            random = Random(seed)
            trait_laws.no_other_lengths_are_rounded(Bench(case_of(("", "Slice"), random)), random)


@pytest.mark.parametrize(
    ("bounds", "limited"),
    [
        ((0, 1 << 40, 1), ()),
        ((0, 1, 1), ()),
        ((-1, 1 << 31, 1), ()),
        ((-1, -(1 << 40), -1), ()),
        ((0, 9, 1), (1,)),
        ((-3, 1 << 40, 1), (1,)),
        ((0, 1 << 40, 2), (1,)),
        ((1, 0, -1), (1,)),
    ],
)
def test_a_slice_limits_lengths_unless_its_bounds_are_known_to_take_all_or_one(
    bounds: tuple[int, int, int], limited: tuple[int, ...]
) -> None:
    x, (start, end, step) = np.zeros((9, 9), np.float32), ([number] for number in bounds)
    node = Bench(call("Slice", x, np.array(start), np.array(end), np.array([1]), np.array(step), opset=13)).op.node
    stored = {1: start, 2: end, 3: [1], 4: step}
    assert traits_of(node, lambda place: np.array(stored[place])).windows == limited
    assert traits_of(node, lambda place: np.array(stored[place]) if place != 2 else None).windows == EVERY
    assert traits_of(node, lambda place: np.array({**stored, 3: [-1]}[place])).windows == ((-1,) if limited else ())
    if step == [1] and end[0] < 1 << 31:
        old = Bench(call("Slice", x, opset=9, starts=start, ends=end, axes=[1])).op.node
        assert traits_of(old).windows == limited


def test_a_choice_along_one_axis_limits_no_other() -> None:
    x, chosen = np.zeros((3, 4), np.float32), np.array([True])
    nodes = [Bench(call("Compress", x, chosen, opset=11, axis=axis)).op.node for axis in (-1, None)]
    assert [traits_of(node).windows for node in nodes] == [(-1,), EVERY]


_MAP = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8) ** 2
SAMPLING = [
    call("GridSample", _MAP, np.zeros((1, 3, 3, 2), np.float32), opset=16, fed=(0, 1), mode="nearest"),
    call(
        "MaxRoiPool", _MAP, np.array([[0, 1, 1, 5, 5]], np.float32), fed=(1,), pooled_shape=[2, 2],
        samplers={1: lambda g, shape: np.where(np.arange(5), g.uniform(0, 7, shape), 0).astype(np.float32)},
    ),
    call(
        "RoiAlign", _MAP, np.array([[1, 1, 5, 5]], np.float32), np.array([0]), opset=16, fed=(1,),
        output_height=1, output_width=1, samplers={1: lambda g, shape: g.uniform(0, 7, shape).astype(np.float32)},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", SAMPLING, ids=lambda case: case.node.op_type)
def test_what_rounds_places_jumps(case: Case) -> None:
    for seed in range(TRIES):
        trait_laws.last_digits_stay_last_digits(Bench(case), Random(seed))


@pytest.mark.parametrize(("op_type", "bound"), [("Add", 1.0), ("MatMul", 1.0), ("LeakyRelu", 0.1), ("Pad", 0.0)])
def test_a_bound_that_is_too_low_breaks_a_law(op_type: str, bound: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(all_rules()["", op_type]), "magnitude", lambda self, node, xs, stored: bound)
    with pytest.raises(AssertionError):
        for seed in range(TRIES):
            random = Random(seed)
            trait_laws.results_are_no_larger_than_said(Bench(case_of(("", op_type), random)), random)


@pytest.mark.parametrize(
    "op_type", ["Abs", "Add", "Clip", "Max", "Mul", "Pow", "ReduceMean", "ReduceSum", "Sqrt", "Tile"]
)
def test_a_lowest_number_that_is_too_high_breaks_a_law(op_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = type(all_rules()["", op_type]).lowest

    def higher(self: Any, node: Any, xs: Any) -> float | None:
        lowest = honest(self, node, xs)
        return None if lowest is None else lowest + 0.5

    monkeypatch.setattr(type(all_rules()["", op_type]), "lowest", higher)
    with pytest.raises(AssertionError, match="is below"):
        for seed in range(TRIES):
            random = Random(seed)
            trait_laws.results_are_no_lower_than_said(Bench(case_of(("", op_type), random)), random)
