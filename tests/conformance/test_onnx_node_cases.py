"""The laws over ONNX's own node cases, and the walk over those that spell an operator out in simpler ones."""

from __future__ import annotations

from random import Random

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from analyzer.ops.operator import all_rules
from tests.conformance.node_cases import NEWEST_OPSET, arrays_of, as_case, node_cases, plain
from tests.laws import laws, shrink_laws
from tests.laws.benches import Bench
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
)
OPERATORS = sorted({op for domain, op in all_rules() if not domain} - {"SimplifiedLayerNormalization"})
#: How onnxruntime says that an operator, an opset or an element type is not there.
_NOT_THERE = (
    RuntimeError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
)
#: Operators of whose cases none runs here: they are of opsets too old.
NONE_RUNS = {"Upsample", "Not"}


@pytest.mark.parametrize("op_type", OPERATORS)
def test_rules_obey_on_the_cases_of_onnx(op_type: str) -> None:
    held = 0
    for given in node_cases().get(op_type, []):
        case = as_case(given)
        if case is None:
            continue
        try:
            bench = Bench(case)
        except _NOT_THERE:
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


def test_the_walk_holds_on_operators_spelled_out() -> None:
    held = 0
    for given in node_cases()[""]:
        arrays = arrays_of(given)
        for opset in given.model.opset_import:
            opset.version = min(opset.version, NEWEST_OPSET)
        if arrays is None or not all(plain(a) for a in arrays.values()):
            continue
        try:
            all_values(given.model, arrays)
        except _NOT_THERE:
            continue
        held += 1
        for law in (claims_hold, unneeded_inputs_do_not_matter):
            law(given.model, arrays, Random(given.name))
    assert held > 100
