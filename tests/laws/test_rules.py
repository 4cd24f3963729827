"""Every law for every registered rule, on random cases that onnxruntime runs."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.ops.operator import all_rules
from tests.laws import description_laws, laws, sample_laws, shrink_laws
from tests.laws.benches import Bench
from tests.laws.cases import NOT_RUNNABLE, RULES, case_of
from tests.laws.draws import GENERATORS
from tests.laws.laws import Law

LAWS: tuple[Law, ...] = (
    laws.constants_are_constant,
    laws.multiples_share_a_map,
    laws.unneeded_inputs_change_nothing,
    laws.more_asked_more_kept,
    laws.cut_nodes_agree,
    laws.letters_fit,
    laws.tied_slots_stay_together,
    laws.unit_axes_are_axes,
    laws.products_are_counted,
    description_laws.weighted_sums_are_their_rows,
    description_laws.averages_lie_among_their_sums,
    description_laws.affine_maps_are_their_factors,
    description_laws.summands_count_in_the_operand_that_takes_them,
    description_laws.factors_count_further_on,
    description_laws.elements_come_from_their_places,
    description_laws.entries_add_up_to_one,
    shrink_laws.shrunk_nodes_agree,
    shrink_laws.observed_constants_are_filled_in,
    shrink_laws.carriers_are_enough,
    sample_laws.samples_stay_apart,
)
EXAMPLES = max(settings().max_examples // 16, 3)  # per rule and law; a profile says how deep


def _name(rule: tuple[str, str]) -> str:
    return rule[1] if not rule[0] else f"{rule[0]}-{rule[1]}"


def test_every_rule_has_cases() -> None:
    assert set(all_rules()) - set(GENERATORS) - NOT_RUNNABLE == set()
    assert set(GENERATORS) <= set(all_rules())


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_cases_reach_the_rule(rule: tuple[str, str]) -> None:
    reached = [Bench(case_of(rule, Random(seed))).call.barrier is None for seed in range(12)]
    assert sum(reached) >= 8


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_rules_obey(rule: tuple[str, str], law: Law) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(seed=st.integers(0, 2**32 - 1))
    def holds(seed: int) -> None:
        random = Random(seed)
        law(case_of(rule, random), random)

    holds()
