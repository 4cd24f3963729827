"""Every operator of which it is said how far its outputs move, against onnxruntime."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from tests.laws.cases import RULES, case_of
from tests.laws.difference_laws import differences_held

CASES = max(settings().max_examples // 50, 2)
#: Operators whose moves are passed on, and not merely taken from the width of their bounds: the list may only grow.
PASSED_ON = ("AveragePool", "Clip", "Concat", "Conv", "Gemm", "LeakyRelu", "LogSoftmax", "MatMul", "MaxPool", "Pad",
             "PRelu", "ReduceMax", "Relu", "Resize", "Sigmoid", "Softmax", "Transpose")  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids="-".join)
def test_no_output_moves_further_than_it_is_said_to(rule: tuple[str, str]) -> None:
    for seed in range(CASES):
        random = Random(seed)
        differences_held(case_of(rule, random), random)


@pytest.mark.parametrize("name", PASSED_ON)
def test_these_are_compared(name: str) -> None:
    compared = 0
    for seed in range(20):
        random = Random(seed)
        compared += differences_held(case_of(("", name), random), random)
    assert compared > 20
