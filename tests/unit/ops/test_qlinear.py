"""Constants of operators on quantised values, held against onnxruntime for every integer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from analyzer.algebra.constants import Constants
from tests.laws.benches import Bench
from tests.laws.draws import call
from tests.models import Array

CONTRIB = "com.microsoft"
ONE = np.float32(1)


def claims(
    op: str, inputs: Sequence[Any], domain: str = CONTRIB, fed: Sequence[int] = (0,), **attributes: Any
) -> tuple[Array, Array, Array]:
    """What the rule claims where every input is known, and what onnxruntime gives."""
    bench = Bench(call(op, *(np.asarray(a) for a in inputs), fed=fed, domain=domain, **attributes))
    assert bench.call.barrier is None
    found = bench.constants([Constants.exactly(bench.case.arrays[n]) for n in bench.op.inputs])[0]
    seen = bench.first["y0"].astype(np.float64)
    return np.broadcast_to(found.known, seen.shape), np.broadcast_to(found.number, seen.shape), seen


def integers(dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.arange(limits.min, limits.max + 1).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("scales", [(0.25, 0.5, 0.5), (0.013, 0.0271, 0.031), (1 / 6, 1 / 3, 0.5)])
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_every_pair_of_integers_comes_out_as_claimed(op: str, scales: tuple[float, ...], dtype: Any) -> None:
    all_integers = integers(dtype)
    a, b = np.repeat(all_integers, 256), np.tile(all_integers, 256)
    steps = [np.float32(s) for s in scales]
    known, value, seen = claims(op, [a, steps[0], dtype(7), b, steps[1], dtype(100), steps[2], dtype(3)], fed=(0, 3))
    assert known.mean() > 0.4
    assert (value == seen)[known].all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("op", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_every_integer_comes_out_of_an_activation_as_claimed(op: str, dtype: Any) -> None:
    for scale in (1 / 256, 1 / 255, 0.1):
        inputs = [integers(dtype), np.float32(0.04), dtype(60), np.float32(scale), dtype(0)]
        known, value, seen = claims(op, inputs)
        assert known.mean() > 0.9
        assert (value == seen)[known].all()


def test_a_half_is_not_claimed() -> None:
    x = np.array([1, 2, 3, 4], np.uint8)
    known, value, _ = claims("QLinearLeakyRelu", [x, np.float32(0.5), np.uint8(0), ONE, np.uint8(0)])
    assert known.tolist() == [False, True, False, True]
    assert value[known].tolist() == [1, 2]


@pytest.mark.parametrize("halves", range(3, 24, 2))
def test_sums_are_rescaled_as_the_kernels_do_it(halves: int) -> None:
    # 3 * float32(1 / 6) is a half in float32 and more than a half in double precision
    step, sums = np.float32(1 / (2 * halves)), integers(np.uint8)
    tail = (ONE, np.int8(0), ONE, np.uint8(0))
    matrix = [sums.reshape(256, 1), step, np.uint8(0), np.ones((1, 2), np.int8), *tail]
    resting = np.zeros((1, 1, 2, 2), np.uint8)  # only its bias makes a convolution's output constant
    maps = [resting, step, np.uint8(0), np.ones((256, 1, 1, 1), np.int8), *tail, sums.astype(np.int32)]
    for known, value, seen in (claims("QLinearMatMul", matrix, ""), claims("QLinearConv", maps, "")):
        assert known.all()
        assert (value == seen).all()
