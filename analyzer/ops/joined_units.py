"""Where units that an operator makes along two axes come to lie on one: directions and hidden units, flattened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array, index_map
from analyzer.ops.context import Call, Context

_Place = tuple[int, Array]  # an axis, and per index on it where it comes from (-1: from elsewhere)


@dataclass(frozen=True, eq=False)
class JoinedUnits:
    """A value that holds each unit of another one once, along one axis.

    `axes` are those of the first output of the call that makes the units, `places` the indices on them, per unit.
    """

    value: str
    axis: int
    axes: tuple[int, int]
    places: tuple[Array, Array]


def joined_units(context: Context, call: Call, value: str = "") -> JoinedUnits | None:
    """The first value behind a call, or this one, over movements alone, that has all its units on one axis."""
    source, shape = call.outputs[0] if call.outputs else "", (call.op.out_shapes or (None,))[0]
    axes = sorted(a for a in (call.axes.units({}).get(source) or ()) if shape and shape[a] > 1)
    if not source or shape is None or len(axes) != 2:
        return None
    where: dict[str, list[_Place]] = {source: [(axis, np.arange(shape[axis])) for axis in axes]}
    for after in context.calls:
        before = where.get(after.inputs[0]) if after.inputs and after.rule.moves else None
        for output, name in enumerate(after.outputs if before is not None else ()):
            found = [_moved(context, after, output, place) for place in before or ()]
            places = [place for place in found if place is not None]
            if len(places) != 2:
                continue
            where[name] = places
            (first, outer), (second, inner) = places
            pairs = {*zip(outer.tolist(), inner.tolist(), strict=True)} if first == second else ()
            if (
                value in ("", name)
                and len(pairs) == len(outer) == shape[axes[0]] * shape[axes[1]]
                and min(outer.min(), inner.min()) >= 0
            ):
                return JoinedUnits(name, first, (axes[0], axes[1]), (outer, inner))
    return None


def _moved(context: Context, call: Call, output: int, place: _Place) -> _Place | None:
    """Where the indices of one axis lie behind a movement; None where that is not along one axis."""
    before, sources = place
    shape = context.shapes.get(call.outputs[output], ())
    for axis, length in enumerate(shape):
        places = index_map(call.rule.places(call.op, 0, before, output), axis)
        if places is not None and len(places) == length > 1:
            return axis, np.where(places < 0, -1, sources[places])
    return None
