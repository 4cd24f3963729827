"""The laws over ONNX's own node cases, and the walk over those that spell an operator out in simpler ones."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from analyzer.ops.operator import all_rules, all_traits
from analyzer.ops.traits import Traits
from tests.conformance.node_cases import NEWEST_OPSET, arrays_of, as_case, node_cases, plain
from tests.laws import bound_laws, laws, shrink_laws
from tests.laws.benches import Bench
from tests.laws.trait_laws import NOT_TAKEN, TRAIT_LAWS
from tests.laws.walks import claims_hold, unneeded_inputs_do_not_matter
from tests.models import all_values

LAWS = (
    laws.constants_are_constant,
    laws.multiples_share_a_map,
    laws.unneeded_inputs_change_nothing,
    laws.cut_nodes_agree,
    shrink_laws.shrunk_nodes_agree,
    laws.letters_fit,
    laws.unit_axes_are_axes,
    *([bound_laws.bounds_hold] if settings().max_examples >= 2000 else []),  # a minute by itself
)
OPERATORS = sorted({op for domain, op in all_rules() if not domain} - {"SimplifiedLayerNormalization"})
#: Operators of whose cases none runs here: too old, too new for the runtime, with a sequence as output, with branches.
NONE_RUNS = {"If", "Upsample", "Not", "RoiAlign", "SplitToSequence"}
MOST = 8  # cases of one operator on which its traits are tried


@pytest.mark.parametrize("op_type", OPERATORS)
def test_rules_obey_on_the_cases_of_onnx(op_type: str) -> None:
    held = 0
    for given in node_cases().get(op_type, []):
        case = as_case(given)
        if case is None:
            continue
        try:
            bench = Bench(case)
        except NOT_TAKEN:
            continue
        if bench.call.barrier is not None:
            continue
        held += 1
        for law in LAWS:
            random = Random(given.name)
            try:
                law(case, random)
            except AssertionError as error:
                raise AssertionError(f"{given.name}: {error}") from error
    assert held or op_type in NONE_RUNS or op_type not in node_cases()


@pytest.mark.parametrize("op_type", sorted({op for domain, op in all_traits() if not domain}))
def test_traits_are_true_on_the_cases_of_onnx(op_type: str) -> None:
    held = 0
    for given in node_cases().get(op_type, [])[:MOST]:
        case = as_case(given)
        if case is None:
            continue
        try:
            bench = Bench(case)
        except NOT_TAKEN:
            continue
        held += 1
        for law in TRAIT_LAWS:
            try:
                law(bench, Random(given.name))
            except NOT_TAKEN:
                continue  # a drawn operand that the operator does not take
            except AssertionError as error:
                raise AssertionError(f"{given.name}: {error}") from error
    silent = all_traits()["", op_type] == Traits(sums_products=False)  # strings, sequences: nothing a run could refute
    assert held or silent or op_type in NONE_RUNS or op_type not in node_cases()


def test_the_walk_holds_on_operators_spelled_out() -> None:
    held, step = 0, 1 if settings().max_examples >= 2000 else 3
    for given in node_cases()[""][::step]:
        arrays = arrays_of(given)
        for opset in given.model.opset_import:
            opset.version = min(opset.version, NEWEST_OPSET)
        if arrays is None or not all(plain(a) for a in arrays.values()):
            continue
        try:
            all_values(given.model, arrays)
        except NOT_TAKEN:
            continue
        held += 1
        for law in (claims_hold, unneeded_inputs_do_not_matter):
            law(given.model, arrays, Random(given.name))
    assert held > 100 // step
