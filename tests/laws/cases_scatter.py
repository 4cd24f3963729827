"""Cases of operators that write to where indices say, and wrong rules for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzer.algebra import pattern
from analyzer.ops import scatter
from tests.laws import laws
from tests.laws.benches import Case, whole
from tests.laws.draws import Draw, call, cases_for
from tests.models import Array

_REDUCTIONS: dict[int, list[str | None]] = {
    11: [None],
    13: [None],
    16: [None, "none", "add", "mul"],
    18: [None, "none", "add", "mul", "max", "min"],
}


@cases_for("ScatterND")
def scatter_nd(d: Draw, op: str) -> Case:
    shape = d.shape()
    named = d.whole(1, len(shape))
    batch = d.shape(0, 2, 3)
    fewest = min(shape[:named])
    indices = d.ints(-fewest if d.flag(0.3) else 0, fewest - 1, *batch, named)
    return _scattered(d, op, shape, indices, d.normal(*batch, *shape[named:]), fewest)


@cases_for("ScatterElements")
def scatter_elements(d: Draw, op: str) -> Case:
    shape = d.shape()
    axis = d.whole(0, len(shape) - 1)
    written = tuple(d.whole(1, n) if a == axis or d.flag(0.3) else n for a, n in enumerate(shape))
    indices = d.ints(-shape[axis] if d.flag(0.3) else 0, shape[axis] - 1, *written)
    return _scattered(d, op, shape, indices, d.normal(*written), shape[axis], axis if d.flag() else axis - len(shape))


@cases_for("GatherElements")
def gather_elements(d: Draw, op: str) -> Case:
    shape = d.shape()
    axis = d.whole(0, len(shape) - 1)
    read = tuple(d.whole(1, 5) if a == axis else d.whole(1, n) if d.flag(0.3) else n for a, n in enumerate(shape))
    low = -shape[axis] if d.flag(0.3) else 0
    fed = d.pick([(0,), (1,), (0, 1)])
    x = d.weight(*shape) if 0 not in fed else d.normal(*shape)
    samplers = {1: whole(low, shape[axis] - 1)} if 1 in fed else {}
    indices = d.ints(low, shape[axis] - 1, *read)
    return call(
        op, x, indices, opset=d.pick([11, 13]), fed=fed, samplers=samplers, axis=axis if d.flag() else axis - len(shape)
    )


def _scattered(
    d: Draw, op: str, shape: tuple[int, ...], indices: Array, updates: Array, places: int, axis: int | None = None
) -> Case:
    opset = d.pick([11, 13, 16, 18])
    fed = d.pick([(0,), (2,), (0, 2), (0, 2), (0, 1, 2)])
    x = d.weight(*shape) if 0 not in fed else d.normal(*shape)
    samplers = {1: whole(-places, places - 1)} if 1 in fed else {}
    reduction = d.pick(_REDUCTIONS[opset])
    return call(op, x, indices, updates, opset=opset, fed=fed, samplers=samplers, reduction=reduction, axis=axis)


def _nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def covered(self: Any, node: Any, indices: Any) -> Any:
        return np.zeros(node.x_shape(), np.bool_)

    monkeypatch.setattr(scatter.Scatter, "covered", covered)


def _only_the_first_update_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "every", lambda mask, axes, keepdims: mask.any(axis=axes, keepdims=keepdims))


def _reductions_leave_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scatter._NEUTRAL, "mul", 0.0)


def _x_is_always_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = scatter.Scatter.needs

    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        found = honest(self, node, ys, xs, yc)
        return [found[0] & pattern.uniform(found[0].ndim, node.static(1) is None), *found[1:]]

    monkeypatch.setattr(scatter.Scatter, "needs", needs)


def _places_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Any = scatter.Scatter.axes

    def axes(self: Any, node: Any) -> Any:
        return replace(honest(self, node), whole=frozenset())

    monkeypatch.setattr(scatter.Scatter, "axes", axes)


def _one_place_is_as_good_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = scatter.GatherElements.needs

    def needs(self: Any, node: Any, ys: Any, xs: Any, yc: Any) -> Any:
        x, indices = honest(self, node, ys, xs, yc)
        axis = int(node.attr("axis", 0)) % len(node.x_shape())
        return [x & pattern.on_axis(np.arange(node.x_shape()[axis]) == 0, axis, x.ndim), indices]

    monkeypatch.setattr(scatter.GatherElements, "needs", needs)


FAULTS: list[laws.Fault] = [
    (_nothing_is_written, "ScatterND", laws.constants_are_constant),
    (_only_the_first_update_counts, "ScatterElements", laws.constants_are_constant),
    (_reductions_leave_zeros, "ScatterND", laws.constants_are_constant),
    (_x_is_always_written_over, "ScatterND", laws.unneeded_inputs_change_nothing),
    (_places_are_cut, "ScatterND", laws.cut_nodes_agree),
    (_only_the_first_update_counts, "GatherElements", laws.constants_are_constant),
    (_one_place_is_as_good_as_all, "GatherElements", laws.unneeded_inputs_change_nothing),
]
