"""Every operator of which rows are carried back through, against onnxruntime."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from tests.laws.cases import RULES, case_of
from tests.laws.linear_laws import lines_held, rows_compared

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


#: Operators that rows go through by lines: the list may only grow.
_NAMES = ("Abs", "Celu", "Clip", "Elu", "Erf", "Gelu", "GlobalMaxPool", "HardSigmoid", "HardSwish", "LeakyRelu",
          "MaxPool", "Mish", "Neg", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Swish", "Tanh")  # fmt: skip
BY_LINES = (*(("", name) for name in _NAMES), ("com.microsoft", "Gelu"), ("com.microsoft", "QuickGelu"))


@pytest.mark.parametrize("rule", BY_LINES, ids="-".join)
def test_lines_lie_around(rule: tuple[str, str]) -> None:
    compared = seed = 0
    while seed < 3 * CASES or not compared:
        random = Random(seed)
        compared += lines_held(case_of(rule, random), random)
        seed += 1
        assert seed < 60, "rows never go through this operator"


def test_what_lines_lie_around_is_listed() -> None:
    found = set()
    for rule in sorted({*RULES} - {*BY_LINES}):
        for seed in range(3):
            random = Random(seed)
            if lines_held(case_of(rule, random), random):
                found.add(rule)
    assert not found, "lines lie around these: add them to the list"
