"""What operators say of choices among many and of what is empty, held against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, RuntimeException

from analyzer.observe.gathered_rows import places_of_largest
from analyzer.ops.operator import Operator, all_rules
from tests.laws.benches import Bench, Case
from tests.laws.cases import RULES, case_of
from tests.models import Array, run

SEEDS = range(40)
REFUSALS = (Fail, InvalidArgument, InvalidGraph, RuntimeException)
Key = tuple[str, str]


def _where(says: Callable[[Operator], object]) -> list[Key]:
    return [key for key in RULES if says(all_rules()[key])]


def _overriding(name: str) -> list[Key]:
    return _where(lambda rule: getattr(type(rule), name) is not getattr(Operator, name))


def _run(case: Case) -> dict[str, Array] | None:
    """None where onnxruntime refuses that."""
    try:
        return run(case.model(), case.feeds)
    except REFUSALS:
        return None


def _with(case: Case, **arrays: Array) -> Case:
    return replace(case, arrays={**case.arrays, **arrays})


@pytest.mark.parametrize("key", _overriding("picks"), ids="-".join)
def test_what_is_not_picked_can_be_left_out(key: Key) -> None:
    tried = 0
    for seed in SEEDS:
        case = case_of(key, Random(seed))
        bench = Bench(case)
        picks = bench.call.rule.picks(bench.op)
        if bench.call.barrier is not None or picks is None or "x0" not in case.feeds:
            continue
        output, axis = picks
        name, x = bench.op.outputs[output], case.arrays["x0"]
        places = bench.first.get(name)
        others = np.setdiff1d(np.arange(x.shape[axis]), np.arange(0) if places is None else places)
        if places is None or not len(others) or not places.size:
            continue
        kept = np.delete(np.arange(x.shape[axis]), others[0])
        after = _run(_with(case, x0=np.take(x, kept, axis)))
        if after is not None:
            tried += 1
            assert (kept[after[name]] == places).all(), str(case)
    assert tried


@pytest.mark.parametrize("key", [("", "Equal"), ("", "OneHot")], ids="-".join)
def test_marks_are_zero_but_at_their_numbers(key: Key) -> None:
    tried = 0
    for seed in range(200):
        case = case_of(key, Random(seed))
        bench = Bench(case)
        for name in case.feeds:
            numbers = bench.call.rule.marks(bench.op, bench.op.inputs.index(name))
            x = case.arrays[name]
            if bench.call.barrier is not None or numbers is None or x.dtype.kind not in "iuf":
                continue
            number = np.asarray(numbers).reshape(-1)[seed % np.size(numbers)]
            depth = int(np.max(numbers)) + 1 if key[1] == "OneHot" else None
            stays = (x if depth is None else x % depth) != number
            y = run(case.model(), {**case.feeds, name: np.where(stays, x, number + 1).astype(x.dtype)})
            marked = np.broadcast_to(np.asarray(numbers) == number, y[bench.op.outputs[0]].shape)
            tried += 1
            assert not y[bench.op.outputs[0]][marked].any(), str(case)
    assert tried


@pytest.mark.parametrize("key", _overriding("experts"), ids="-".join)
def test_experts_that_are_not_chosen_change_nothing(key: Key) -> None:
    tried = 0
    for seed in range(80):
        case = case_of(key, Random(seed))
        bench = Bench(case)
        stacked = bench.call.rule.experts(bench.op)
        assert stacked is not None
        scores = case.arrays[bench.op.inputs[stacked.scores]]
        idle = np.setdiff1d(np.arange(scores.shape[1]), places_of_largest(scores, stacked.chosen))
        if not len(idle):
            continue
        tried += 1
        changed = {n: case.arrays[n].copy() for n in (bench.op.inputs[p] for p in stacked.weights if bench.op.has(p))}
        for array in changed.values():
            array[idle] = 7
        if stacked.renormalised:
            name = bench.op.inputs[stacked.scores]
            changed[name] = scores.copy()
            changed[name][:, idle] -= 3
        after = run(_with(case, **changed).model(), _with(case, **changed).feeds)
        np.testing.assert_allclose(after["y0"], bench.first["y0"], rtol=1e-4, atol=1e-5, err_msg=str(case))
    assert tried


@pytest.mark.parametrize("key", _where(lambda rule: rule.keeps_empty), ids="-".join)
def test_nothing_comes_of_nothing(key: Key) -> None:
    tried = 0
    for seed in SEEDS:
        case = case_of(key, Random(seed))
        x = case.arrays.get(case.node.input[0])
        given = None if x is None or not x.ndim else _run(_with(case, **{case.node.input[0]: x[:0]}))
        if given is not None:
            tried += 1
            assert not any(y.size for y in given.values()), str(case)
    assert tried


@pytest.mark.parametrize("key", _where(lambda rule: rule.lists_nonzero), ids="-".join)
def test_where_all_is_zero_nothing_is_listed(key: Key) -> None:
    for seed in SEEDS:
        case = case_of(key, Random(seed))
        given = _run(_with(case, x0=np.zeros_like(case.arrays["x0"])))
        assert given is not None
        assert not given["y0"].size


@pytest.mark.parametrize("key", _where(lambda rule: rule.puts_at is not None), ids="-".join)
def test_what_is_put_nowhere_changes_nothing(key: Key) -> None:
    tried = 0
    for seed in SEEDS:
        case = case_of(key, Random(seed))
        if case.arrays["x1"].ndim < 2 and key[1] == "ScatterND":
            continue
        given = _run(_with(case, x1=case.arrays["x1"][:0], x2=case.arrays["x2"][:0]))
        if given is not None:
            tried += 1
            assert (given["y0"] == case.arrays["x0"]).all(), str(case)
    assert tried
