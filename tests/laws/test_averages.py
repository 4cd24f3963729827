"""Attention as it is written out: averages of constants are constants, and heads whose values are constant go."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest

from analyzer.algebra.constants import Constants
from analyzer.ops import context, contraction, norm
from tests.audits import pruned
from tests.laws.nets import OPSET, Net
from tests.laws.walks import check_claim
from tests.models import Array, all_values, build

TRIES, HEADS, WIDTH, STEPS, MODEL = 40, 3, 2, 4, 5
Patch = Callable[[pytest.MonkeyPatch], None]


def attention(random: Random) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Heads with values of which some are constant, over all keys or at each key; weights on the left or the right."""
    net = Net(random)
    x = net.arrays.normal(0, 1, (3, STEPS, MODEL)).astype(np.float32)
    apart = net.keep([0, 0, HEADS, WIDTH], np.int64)

    def projected(perm: list[int], still: Array, places: bool = False) -> str:
        kernel = net.arrays.normal(0, 1, (MODEL, HEADS * WIDTH)) * ~still
        dense = net.add("Add", net.add("MatMul", "x", net.keep(kernel)), net.keep(net.arrays.normal(0, 1, still.shape)))
        if places:
            dense = net.add(
                "Add", dense, net.keep(net.arrays.normal(0, 1, (STEPS, 1)) * (net.arrays.random(still.shape) < 0.3))
            )
        return net.add("Transpose", net.add("Reshape", dense, apart), perm=perm)

    alive = np.zeros(HEADS * WIDTH, np.bool_)
    still = np.repeat(net.arrays.random(HEADS) < 0.5, WIDTH) | (net.arrays.random(HEADS * WIDTH) < 0.3)
    left = random.random() < 0.5  # queries x keys before values, or values before keys x queries
    queries, keys = ([0, 2, 1, 3], [0, 2, 3, 1]) if left else ([0, 2, 3, 1], [0, 2, 1, 3])
    sides = projected(queries, alive), projected(keys, alive)
    scores = net.add("MatMul", *(sides if left else sides[::-1]))
    scores = net.add("Add", scores, net.keep(net.arrays.normal(0, 3, (STEPS, STEPS))))
    weights = net.add("Softmax", scores, axis=random.choice([-1, -2]) if random.random() < 0.3 else -1 if left else -2)
    values = projected([0, 2, 1, 3] if left else [0, 2, 3, 1], still, random.random() < 0.4)
    mixed = net.add("MatMul", *((weights, values) if left else (values, weights)))
    together = net.add("Transpose", mixed, perm=[0, 2, 1, 3] if left else [0, 3, 1, 2])
    flat = net.add("Reshape", together, net.keep([0, 0, HEADS * WIDTH], np.int64))
    output = net.add("MatMul", flat, net.keep(net.arrays.normal(0, 1, (HEADS * WIDTH, 2))))
    return build(net.nodes, {"x": x}, net.stored, [output], OPSET, free=(0,)), {"x": x}


def heads_left(seed: int) -> int:
    """How many heads are left; what is derived is what a run shows, and the smaller model gives the same."""
    model, feeds = attention(Random(seed))
    found, values = pruned(model, feeds), all_values(model, feeds)
    for name, fact in found.walk.facts.items():
        if name in values and fact.any and fact.rank == values[name].ndim:
            check_claim(name, fact, values[name])
    assert found.difference < 1e-4
    (mixed,) = [
        call for call in found.walk.context.calls if call.op.averages and any(a is not None for a in call.op.averages)
    ]
    return int(found.walk.closure.keeps.get((mixed.outputs[0], 1)).sum())


def test_heads_whose_values_are_constant_go() -> None:
    assert {heads_left(seed) for seed in range(TRIES)} == {1, 2, 3}


def _the_last_axis_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Softmax, "sums_to_one", lambda self, node: len(node.y_shape()) - 1)


def _any_known_values_do(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = contraction.Contraction._mean

    def mean(self: Any, node: Any, values: Constants, text: Any, axis: int, letters: Any) -> Any:
        first = values.number.take([0], axis)
        return honest(self, node, Constants(values.known, first), text, axis, letters)

    monkeypatch.setattr(contraction.Contraction, "_mean", mean)


@pytest.mark.parametrize("patch", [_the_last_axis_adds_up, _any_known_values_do])
def test_a_wrong_average_is_seen(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(TRIES):
            heads_left(seed)


def scores(random: Random) -> tuple[onnx.ModelProto, dict[str, Array], int]:
    """Queries times keys of which some are the same for every key, and how many are not; softmax by any axis."""
    net, heads = Net(random), random.choice([1, 2])
    x = net.arrays.normal(0, 1, (3, STEPS, MODEL)).astype(np.float32)
    width, by_keys, left = 4, random.random() < 0.8, random.random() < 0.5
    still = net.arrays.random(width) < 0.5
    kernels = net.arrays.normal(0, 1, (2, MODEL, heads, width))
    kernels[1][:, :, still] = 0
    shifts = net.arrays.normal(0, 1, (2, heads, width)) * (net.arrays.random((2, 1, width)) < 0.7)
    if by_heads := heads > 1 and random.random() < 0.3:  # what is the same in every head meets queries that are not
        by_keys, shifts[1] = False, shifts[1, :1]

    def side(which: int, perm: list[int]) -> str:
        dense = net.add("MatMul", "x", net.keep(kernels[which].reshape(MODEL, -1)))
        dense = net.add("Add", dense, net.keep(shifts[which].reshape(-1)))
        return net.add("Transpose", net.add("Reshape", dense, net.keep([0, 0, heads, width], np.int64)), perm=perm)

    if left:  # queries times keys
        y = net.add("MatMul", side(0, [0, 2, 1, 3]), side(1, [0, 2, 3, 1]))
    else:
        y = net.add("MatMul", side(1, [0, 2, 1, 3]), side(0, [0, 2, 3, 1]))
    if random.random() < 0.6:
        y = net.add("Div", y, net.keep(2.0))
    keys, masked = -1 if left else -2, random.random()
    axis = -3 if by_heads else keys if by_keys else -3 - keys
    if masked < 0.4:
        y = net.add("Add", y, net.keep(net.arrays.normal(0, 1, (STEPS, STEPS))))
    elif masked < 0.6:  # a factor for each key: what was the same is no longer
        y, by_keys = net.add("Mul", y, net.keep(net.arrays.normal(0, 1, (STEPS, STEPS)))), False
    if masked > 0.85:  # what is added shifts the digits that a half has room for
        y, by_keys = net.add("Cast", net.add("Cast", y, to=onnx.TensorProto.FLOAT16), to=onnx.TensorProto.FLOAT), False
    outputs = [net.add("Softmax", y, axis=axis)]
    if random.random() < 0.2:  # somebody reads the scores themselves
        outputs, by_keys = [*outputs, y], False
    gone = still & (shifts[1] == 0).all(axis=0) | (still & by_keys)
    return build(net.nodes, {"x": x}, net.stored, outputs, OPSET, free=(0,)), {"x": x}, int((~gone).sum())


def widths_left(seed: int) -> int:
    model, feeds, expected = scores(Random(seed))
    found = pruned(model, feeds)
    assert found.difference < 1e-4
    (dense,) = [c for c in found.walk.context.calls if c.op.op_type == "MatMul" and not any(c.op.sole_user)]
    left = int(found.walk.closure.keeps.get((dense.inputs[0], 3)).sum())
    assert left == max(expected, 1), f"{left} of {expected}"
    return left


def test_keys_that_are_the_same_everywhere_go() -> None:
    assert {widths_left(seed) for seed in range(TRIES)} == {1, 2, 3, 4}


def _any_axis_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm.Softmax, "levels", lambda self, node: len(node.y_shape()) - 1)


def _any_reader_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_adds", lambda call, position, axis: call.rule.aligned)


@pytest.mark.parametrize("patch", [_any_axis_levels, _any_reader_levels])
def test_a_wrong_level_is_seen(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(TRIES):
            widths_left(seed)
