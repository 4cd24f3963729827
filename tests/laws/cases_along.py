"""Cases of operators that work along some axes alone, or list what they find, and wrong rules for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.ops import along, listing, reduce, scatter
from tests.laws import laws
from tests.laws.benches import Case, normal, whole
from tests.laws.draws import Draw, call, cases_for


def _axis(d: Draw, rank: int) -> int:
    axis = d.whole(0, rank - 1)
    return axis if d.flag() else axis - rank


@cases_for("CumSum")
def cumsum(d: Draw, op: str) -> Case:
    shape = d.shape()
    axis = np.array(_axis(d, len(shape)), d.pick([np.int32, np.int64]))
    extra: dict[str, Any] = {name: 1 for name in ("exclusive", "reverse") if d.flag(0.3)}
    return call(op, d.normal(*shape), axis if d.flag() else axis.reshape(1), opset=d.pick([11, 14]), **extra)


@cases_for("Trilu")
def trilu(d: Draw, op: str) -> Case:
    k = np.array(d.whole(-2, 2)) if d.flag() else None
    return call(op, d.normal(*d.shape(2, 4)), k, opset=14, upper=d.pick([None, 0, 1]))


@cases_for("ReverseSequence")
def reverse_sequence(d: Draw, op: str) -> Case:
    time, batch = d.pick([(0, 1), (1, 0)])
    shape = d.shape(2, 4)
    lengths = d.ints(1, shape[time], shape[batch])
    fed = d.pick([(0,), (0, 1)])
    named: dict[str, Any] = {} if time == 0 and d.flag() else {"time_axis": time, "batch_axis": batch}
    samplers = {1: whole(1, shape[time])} if 1 in fed else {}
    return call(op, d.normal(*shape), lengths, opset=10, fed=fed, samplers=samplers, **named)


@cases_for("TopK")
def topk(d: Draw, op: str) -> Case:
    shape = d.shape()
    axis = _axis(d, len(shape))
    most = np.array([d.whole(1, shape[axis])])
    largest = d.pick([None, 0, 1])
    return call(op, d.normal(*shape), most, opset=d.pick([11, 24]), outputs=2, axis=axis, largest=largest)


@cases_for("Compress")
def compress(d: Draw, op: str) -> Case:
    shape = d.shape()
    axis = None if d.flag(0.2) else _axis(d, len(shape))
    chosen = np.ones(int(np.prod(shape)) if axis is None else shape[axis], np.bool_)
    chosen[1:] = d.ints(0, 1, len(chosen) - 1).astype(np.bool_)
    return call(op, d.normal(*shape), chosen, opset=d.pick([9, 11]) if axis is None or axis >= 0 else 11, axis=axis)


@cases_for("GridSample")
def grid_sample(d: Draw, op: str) -> Case:
    x, places = d.normal(d.whole(1, 2), d.whole(1, 4), d.whole(2, 4), d.whole(2, 4)), d.shape(2, 2)
    grid = (d.arrays.random((len(x), *places, 2)) * 2.6 - 1.3).astype(np.float32)
    fed = d.pick([(0,), (1,), (0, 1)])
    samplers = {1: lambda g, shape: (g.random(shape) * 2.6 - 1.3).astype(np.float32)} if 1 in fed else {}
    opset = d.pick([16, 20])
    mode = d.pick([None, "nearest", *(("bilinear", "bicubic") if opset == 16 else ("linear", "cubic"))])
    border = d.pick([None, "zeros", "border", "reflection"])
    corners = d.pick([None, 1])
    return call(op, x, grid, opset=opset, fed=fed, samplers=samplers, mode=mode, padding_mode=border,
                align_corners=corners, constants=1 not in fed)  # fmt: skip


@cases_for("RoiAlign", "MaxRoiPool")
def regions(d: Draw, op: str) -> Case:
    x, count = d.normal(2, d.whole(1, 4), 6, 6), d.whole(1, 3)
    boxes = np.array([[0, 1, 4, 5], [2, 0, 5, 3], [1, 1, 2, 5]], np.float32)[:count]
    which = d.ints(0, 1, count)
    if op == "MaxRoiPool":
        return call(op, x, np.hstack([which[:, None], boxes]).astype(np.float32), pooled_shape=[2, 3])
    return call(op, x, boxes, which, opset=d.pick([10, 16]), mode=d.pick([None, "avg", "max"]), sampling_ratio=2,
                output_height=2, output_width=3)  # fmt: skip


@cases_for("GatherND")
def gather_nd(d: Draw, op: str) -> Case:
    shape = d.shape(2, 4)
    shared = d.whole(0, min(1, len(shape) - 2))
    named = d.whole(1, len(shape) - shared)
    low = min(shape[shared : shared + named])
    least = -low if d.flag(0.3) else 0
    indices = d.ints(least, low - 1, *shape[:shared], *d.shape(0, 2, 3), named)
    fed = d.pick([(0,), (1,), (0, 1)])
    samplers = {1: whole(least, low - 1)} if 1 in fed else {}
    x = d.weight(*shape) if 0 not in fed else d.normal(*shape)
    return call(op, x, indices, opset=d.pick([12, 13]), fed=fed, samplers=samplers, batch_dims=shared or None)


@cases_for("ArgMax", "ArgMin")
def place_of_extremum(d: Draw, op: str) -> Case:
    shape = d.shape()
    x = np.rint(d.normal(*shape))
    last = d.pick([None, 0, 1])
    opset = d.pick([11, 12, 13]) if not last else d.pick([12, 13])
    samplers = {0: lambda g, s: np.rint(normal()(g, s))}
    return call(op, x, opset=opset, axis=_axis(d, len(shape)), keepdims=d.pick([None, 0, 1]), samplers=samplers,
                select_last_index=last if opset > 11 else None)  # fmt: skip


@cases_for("IsNaN", "IsInf")
def not_finite(d: Draw, op: str) -> Case:
    return call(op, d.normal(*d.shape()), opset=d.pick([10, 13, 20]))


@cases_for("Mod")
def modulo(d: Draw, op: str) -> Case:
    shape = d.shape()
    other = tuple(1 if d.flag(0.3) else n for n in shape)
    kind: Any = d.pick([np.int32, np.int64, np.float32])
    floats = kind is np.float32
    x, by = d.ints(-9, 9, *shape).astype(kind), (d.ints(1, 4, *other) * d.pick([1, -1])).astype(kind)
    fed = d.pick([(0,), (1,), (0, 1)])
    samplers = {0: whole(-9, 9, kind), 1: whole(1, 4, kind)}
    return call(op, x, by, opset=d.pick([10, 13]), fed=fed, samplers={p: samplers[p] for p in fed},
                fmod=1 if floats else d.pick([None, 0, 1]))  # fmt: skip


@cases_for("OneHot")
def one_hot(d: Draw, op: str) -> Case:
    shape = d.shape(1, 3)
    depth, values = np.array(d.whole(2, 5)), np.array([d.pick([0, 0.5]), 2], np.float32)
    axis = None if d.flag(0.3) else _axis(d, len(shape) + 1)
    return call(op, d.ints(-2, 5, *shape), depth, values, opset=11, samplers={0: whole(-2, 5)}, axis=axis)


@cases_for("NonZero")
def nonzero(d: Draw, op: str) -> Case:
    x = d.ints(0, 2, *d.shape(1, 3)).astype(np.float32)
    x.reshape(-1)[0] = 1
    return call(op, x, opset=d.pick([9, 13]), constants=False, samplers={0: lambda *_: x})


@cases_for("Unique")
def unique(d: Draw, op: str) -> Case:
    x = d.ints(0, 3, *d.shape(1, 2)).astype(np.float32)
    return call(op, x, opset=11, constants=False, samplers={0: lambda *_: x}, outputs=d.whole(1, 4),
                sorted=d.pick([None, 0, 1]))  # fmt: skip


@cases_for("NonMaxSuppression")
def non_max_suppression(d: Draw, op: str) -> Case:
    count = d.whole(1, 4)
    corners = np.sort(d.arrays.random((1, count, 2, 2)).astype(np.float32), axis=2).reshape(1, count, 4)
    most, overlap = np.array([d.whole(1, 3)]), np.array([0.5], np.float32)
    scores = d.arrays.random((1, d.whole(1, 2), count)).astype(np.float32)
    return call(op, corners, scores, most, overlap, opset=d.pick([10, 11]), constants=False,
                samplers={0: lambda *_: corners})  # fmt: skip


@cases_for("Range")
def counted(d: Draw, op: str) -> Case:
    start, stop = np.array(d.whole(0, 2)), np.array(d.whole(3, 7))
    return call(op, start, stop, np.array(1), opset=11, constants=False, samplers={0: lambda *_: start})


def _anything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = along.across
    monkeypatch.setattr(along, "across", lambda x, axes, passes=None: honest(x, axes))


def _known_somewhere_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def across(x: Any, axes: Any, passes: Any = None) -> Any:
        number = x.number.max(axis=axes, keepdims=True)
        return Constants(x.known.any(axis=axes, keepdims=True), number)

    monkeypatch.setattr(along, "across", across)


def _each_index_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        return [ys[0], *(np.ones((1,) * x.rank, np.bool_) for x in xs[1:])]

    monkeypatch.setattr(along.Along, "needs", needs)
    monkeypatch.setattr(reduce.ReduceRule, "needs", needs)


def _its_axes_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = along.beside

    def beside(node: Any, axes: Any, others: str = "") -> Any:
        axes = honest(node, axes, others)
        return replace(axes, whole=frozenset())

    monkeypatch.setattr(along, "beside", beside)


def _the_last_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = np.flip
    monkeypatch.setattr(np, "flip", lambda array, axis: honest(honest(array, axis), axis))


def _all_that_is_asked_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        return [~np.ones((1,) * xs[0].rank, np.bool_), *(np.ones((1,) * x.rank, np.bool_) for x in xs[1:])]

    monkeypatch.setattr(listing.OneHot, "needs", needs)


def _a_place_is_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = scatter.GatherND.axes
    monkeypatch.setattr(scatter.GatherND, "axes", lambda self, node: replace(honest(self, node), whole=frozenset()))


def _one_entry_is_as_good_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "every", lambda mask, axes, keepdims: mask.any(axis=axes, keepdims=keepdims))


FAULTS: list[laws.Fault] = [
    (_anything_passes, "CumSum", laws.constants_are_constant),
    (_anything_passes, "Trilu", laws.constants_are_constant),
    (_anything_passes, "RoiAlign", laws.constants_are_constant),
    (_known_somewhere_is_enough, "ReverseSequence", laws.constants_are_constant),
    (_known_somewhere_is_enough, "TopK", laws.constants_are_constant),
    (_each_index_alone, "CumSum", laws.unneeded_inputs_change_nothing),
    (_each_index_alone, "ReverseSequence", laws.unneeded_inputs_change_nothing),
    (_its_axes_are_cut, "TopK", laws.cut_nodes_agree),
    (_its_axes_are_cut, "CumSum", laws.cut_nodes_agree),
    (_the_last_is_the_first, "ArgMax", laws.constants_are_constant),
    (_all_that_is_asked_lies_there, "OneHot", laws.unneeded_inputs_change_nothing),
    (_a_place_is_an_entry, "GatherND", laws.cut_nodes_agree),
    (_one_entry_is_as_good_as_all, "GatherND", laws.constants_are_constant),
]
