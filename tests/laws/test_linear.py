"""Every operator of which rows are carried back through, against onnxruntime."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from tests.laws.cases import RULES, case_of
from tests.laws.linear_laws import rows_compared

CASES = max(settings().max_examples // 30, 4)
#: Operators that rows go through: the list may only grow.
THROUGH = ("Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "ConvTranspose", "Div", "Einsum", "Expand",
           "Flatten", "Gather", "Gemm", "GlobalAveragePool", "Identity", "MatMul", "Mul", "Pad", "ReduceMean",
           "ReduceSum", "Reshape", "Slice", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze")  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids="-".join)
def test_rows_are_transposed(rule: tuple[str, str]) -> None:
    for seed in range(CASES):
        random = Random(seed)
        rows_compared(case_of(rule, random), random)


@pytest.mark.parametrize("name", THROUGH)
def test_rows_go_through_these(name: str) -> None:
    compared = 0
    for seed in range(60):
        random = Random(seed)
        compared += rows_compared(case_of(("", name), random), random)
    assert compared
