"""Bounds of every operator that says something of its values, against onnxruntime: about a million numbers in CI."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from analyzer.ops.operator import all_rules
from tests.laws.bound_laws import bounds_held, says_something
from tests.laws.cases import RULES, case_of

CASES = max(settings().max_examples // 30, 2)  # per operator; a profile says how deep
#: Operators whose rules say something of which no bound in single precision is made: they are of whole numbers or
#: truths, quantised, or have a function inside or beside it of which nothing is said. The list may only shrink.
SILENT = {
    *(("", name) for name in ("And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN")),
    *(("", name) for name in ("Less", "LessOrEqual", "Not", "Or", "Xor", "ConvInteger", "MatMulInteger")),
    *(("", name) for name in ("DequantizeLinear", "QLinearConv", "QLinearMatMul", "QuantizeLinear")),
    *(("", name) for name in ("Mod", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "Shrink", "Tan")),
    ("", "Upsample"),
    ("", "Pow"),  # of two computed values; powers of stored exponents are tried in tests/unit/bounds
    *(("com.microsoft", name) for name in ("BiasGelu", "FastGelu", "FusedConv", "FusedGemm", "MatMulNBits")),
    *(("com.microsoft", name) for name in ("DequantizeLinear", "QuantizeLinear", "QGemm", "MatMulIntegerToFloat")),
    *(("com.microsoft", f"QLinear{name}") for name in ("Add", "AveragePool", "Concat", "GlobalAveragePool", "Mul")),
    *(("com.microsoft", f"QLinear{name}") for name in ("LeakyRelu", "Sigmoid", "Softmax", "Where")),
    ("com.microsoft", "DynamicQuantizeMatMul"),
    ("", "LayerNormalization"),  # by the formula alone
}
BOUNDING = [rule for rule in RULES if says_something(all_rules()[rule]) and rule not in SILENT]


@pytest.mark.parametrize("rule", BOUNDING, ids="-".join)
def test_numbers_lie_between_their_bounds(rule: tuple[str, str]) -> None:
    compared = seed = 0
    while seed < CASES or not compared:  # some kinds of calls come rarely
        random = Random(seed)
        compared += bounds_held(case_of(rule, random), random)
        seed += 1
        assert compared or seed < 40, "no call of this operator is bounded"


def test_what_says_nothing_is_listed() -> None:
    assert set(RULES) >= SILENT
    for rule in sorted(SILENT):
        for seed in range(2):
            random = Random(seed)
            assert not bounds_held(case_of(rule, random), random), f"{rule} bounds its values now: take it off the list"
