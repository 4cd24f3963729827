"""The operators that move elements of one value: each is a chain of steps (see `move`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.errors import Refusal
from analyzer.graph import Node
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored
from analyzer.ops.move import MOVED, Chain, MoveRule, Reshape, Take, Transpose
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import register
from analyzer.ops.traits import EVERY, Traits

_TO_THE_END = (1 << 31) - 1  # what exporters write where they mean all that is there
Indices = npt.NDArray[np.int64]
T = TypeVar("T")


class ReshapeRule(MoveRule):
    """Reshape, Flatten, Squeeze, Unsqueeze: the shapes of the run say it all.

    Output axes whose length is computed at run time stay whole; those that the file spells out can be respelled.
    """

    lock_reason = "shape-computed-at-runtime"

    def chains(self, node: OpNode) -> list[Chain]:
        return [[Reshape(node.x_shape(), node.y_shape())]]

    def whole_y(self, node: OpNode) -> Sequence[int]:
        if node.op_type != "Reshape":
            return ()
        target = node.target or (None,) * len(node.y_shape())
        return [axis for axis, piece in enumerate(target) if piece is None]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """A spelled-out target is spelled anew; 0 and -1 adapt by themselves."""
        if node.op_type == "Squeeze":
            return self._squeeze(node, cut)
        if node.op_type == "Unsqueeze" or node.op_type == "Flatten":
            return Edit()
        return respell(node, cut, 1)

    def listed(self, node: Node, items: tuple[T, ...], numbers: Sequence[Array]) -> tuple[T, ...] | None:
        return items

    def _squeeze(self, node: OpNode, cut: Cut) -> Edit:
        """Name the axes where the file does not and a cut axis now has length 1 as well."""
        axes = [a for a, length in enumerate(node.x_shape()) if length == 1]
        lengths = cut.keeps.shape(node.inputs[0])
        if node.has(1) or node.attr("axes") or all(lengths[a] != 1 for a in range(len(lengths)) if a not in axes):
            return Edit()
        if node.version < 13:
            return Edit(attributes={"axes": axes})
        return Edit(inputs={1: np.asarray(axes, np.int64)})


def respell(node: OpNode, cut: Cut, position: int) -> Edit:
    """A shape operand with the lengths of the cut output, where the file spells them out."""
    edit, new = Edit(), cut.keeps.shape(node.outputs[0])
    if new == node.y_shape():
        return edit
    pieces = node.target
    if pieces is None or len(pieces) != len(new):
        raise Refusal(node.name, "shape-computed-at-runtime", "its target shape is computed")
    changed = [a for a, piece in enumerate(pieces) if new[a] != node.y_shape()[a]]
    if any(pieces[a] is None for a in changed):
        raise Refusal(node.name, "shape-computed-at-runtime", "its target shape is computed")
    respelled = {a: new[a] for a in changed if pieces[a] not in (0, -1) and pieces[a] != 1}
    if node.op_type == "Reshape" and node.inputs[0] in cut.keeps:
        came = cut.keeps.shape(node.inputs[0])
        # 0 copies the length at the same place of the input, which may be cut otherwise.
        respelled |= {a: new[a] for a, piece in enumerate(pieces) if piece == 0 and came[a] != new[a]}
    if respelled:
        edit.pieces[position] = respelled
    return edit


class TransposeRule(MoveRule):
    """Transpose: axes in another order, by default reversed."""

    def chains(self, node: OpNode) -> list[Chain]:
        perm = node.attr("perm") or list(range(len(node.x_shape())))[::-1]
        return [[Transpose(tuple(perm))]]


class SplitRule(MoveRule):
    """Split: every output takes a run of indices."""

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        sized = len(node.inputs) > 1 or node.attr("split") is not None
        return stated if sized else replace(stated, windows=(int(node.attr("axis", 0)),))  # parts as equal as can be

    def unsupported(self, node: OpNode) -> str | None:
        return "sizes computed at run time" if node.has(1) and node.static(1) is None else None

    def chains(self, node: OpNode) -> list[Chain]:
        axis = int(node.attr("axis", 0)) % len(node.x_shape())
        length, start, chains = node.x_shape()[axis], 0, []
        for position, name in enumerate(node.outputs):
            size = node.y_shape(position)[axis] if name else 0
            chains.append([Take(axis, np.arange(start, start + size), length)])
            start += size
        return chains  # type: ignore[return-value]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """New sizes; an output of which nothing stays goes."""
        axis = int(node.attr("axis", 0)) % len(node.x_shape())
        kept, start, sizes, dropped = cut.keeps.get((node.inputs[0], axis)), 0, [], []
        for position, name in enumerate(node.outputs):
            length = node.y_shape(position)[axis] if name else 0
            size = int(kept[start : start + length].sum())
            start += length
            if size:
                sizes.append(size)
            else:
                dropped.append(position)
        before = [node.y_shape(p)[axis] for p, name in enumerate(node.outputs) if name]
        if sizes == before:
            return Edit()
        if node.version < 13:
            return Edit(attributes={"split": sizes}, drop_outputs=tuple(dropped))
        edit = Edit(attributes={"num_outputs": None}, drop_outputs=tuple(dropped))
        edit.inputs[1] = np.asarray(sizes, np.int64)
        return edit


def slice_indices(node: OpNode) -> dict[int, Indices] | None:
    """Per sliced axis the indices that Slice takes; None when they are computed at run time."""
    starts, ends = node.ints(1, "starts"), node.ints(2, "ends")
    if starts is None or ends is None or (node.has(3) and node.static(3) is None):
        return None
    if node.has(4) and node.static(4) is None:
        return None
    rank = len(node.x_shape())
    axes = node.ints(3, "axes") or list(range(len(starts)))
    steps = node.ints(4, "steps") or [1] * len(starts)
    taken = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        length = node.x_shape()[axis % rank]
        if step < 0:  # beyond the front, a backward slice starts at the first index and ends behind it
            start, stop = max(start, -length), None if end < -length else end
        else:
            stop = end
        taken[axis % rank] = np.arange(length)[slice(start, stop, step)]
    return taken


def _all_or_one(start: int, end: int, step: int) -> bool:
    """Whether these bounds take every index, or the first or last alone, however long the axis is."""
    if step == -1:
        return (start == -1 or start >= _TO_THE_END) and end <= -_TO_THE_END
    first, last = start == 0 or start <= -_TO_THE_END, end >= _TO_THE_END
    return step == 1 and ((first and (last or end == 1)) or (start == -1 and last))


class SliceRule(MoveRule):
    """Slice. Axes whose bounds are computed at run time stay whole, and facts that vary along them end there."""

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        given = [bool(name) for name in node.inputs]
        bounds: list[list[int] | None] = []
        for position, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
            array = stored(position) if given[position : position + 1] == [True] else node.attr(name, ())
            bounds.append(None if array is None else [int(v) for v in np.asarray(array).reshape(-1)])
        starts, ends, axes, steps = bounds
        if starts is None or ends is None or axes is None or steps is None:
            return replace(stated, windows=EVERY)
        rows = zip(starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=False)
        limited = [axis for start, end, axis, step in rows if not _all_or_one(start, end, step)]
        return replace(stated, windows=tuple(limited))

    def unsupported(self, node: OpNode) -> str | None:
        return "axes computed at run time" if node.has(3) and node.static(3) is None else None

    def unsteady(self, node: OpNode) -> tuple[int, ...]:
        if slice_indices(node) is not None:
            return ()
        named = node.ints(3, "axes") or range(node.x_shape(1)[0])
        return tuple(axis % len(node.x_shape()) for axis in named)

    def chains(self, node: OpNode) -> list[Chain]:
        shape = node.x_shape()
        return [[Take(a, i, shape[a]) for a, i in (slice_indices(node) or {}).items() if len(i) != shape[a] or
                 (i[:1] != 0).any()]]  # fmt: skip

    def listed(self, node: Node, items: tuple[T, ...], numbers: Sequence[Array]) -> tuple[T, ...] | None:
        start = int(numbers[0][0]) if numbers else int(node.attr("starts")[0])
        end = int(numbers[1][0]) if numbers else int(node.attr("ends")[0])
        return items[start : end : int(numbers[3][0]) if len(numbers) > 3 else 1]

    def whole_x(self, node: OpNode) -> Sequence[int]:
        """Axes sliced in steps, beside others: what is left of one alone can be gathered where it is no slice."""
        rank, axes, steps = len(node.x_shape()), node.ints(3, "axes"), node.ints(4, "steps") or []
        stepped = [axes[place] % rank if axes else place for place, step in enumerate(steps) if step != 1]
        return stepped if len(slice_indices(node) or {}) > 1 else ()

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """The same run of indices, counted among those that stay."""
        taken, rank = slice_indices(node) or {}, len(node.x_shape())
        if node.ints(4, "steps") not in (None, [1] * len(taken)) and len(taken) == 1:
            return self._gathered(node, cut, *taken.popitem())
        axes = node.ints(3, "axes") or list(range(len(node.ints(1, "starts") or [])))
        starts, ends = list(node.ints(1, "starts") or []), list(node.ints(2, "ends") or [])
        changed = False
        for place, axis in enumerate(axes):
            kept = cut.keeps.get((node.inputs[0], axis % rank))
            if not kept.all():
                indices = taken[axis % rank]
                inside = np.zeros_like(kept)
                inside[indices] = True
                first = int(kept[: indices[0]].sum())
                starts[place], ends[place] = first, first + int((kept & inside).sum())
                changed = True
        if not changed:
            return Edit()
        if node.version < 10:
            return Edit(attributes={"starts": starts, "ends": ends, "axes": axes})
        stored = node.static(1)
        dtype = np.int64 if stored is None else stored.dtype  # that of the axes and steps beside them
        return Edit(inputs={1: np.asarray(starts, dtype), 2: np.asarray(ends, dtype)})

    def _gathered(self, node: OpNode, cut: Cut, axis: int, taken: Indices) -> Edit:
        """What is left of indices taken in steps, as a Gather."""
        kept, read = (cut.keeps.get((name, axis)) for name in (node.inputs[0], node.outputs[0]))
        if kept.all():
            return Edit()
        left = (np.cumsum(kept) - 1)[taken[read]]
        gone = tuple(range(2, len(node.inputs)))
        return Edit(inputs={1: left}, attributes={"axis": axis}, drop_inputs=gone, becomes="Gather")


class GatherRule(MoveRule):
    """Gather: rows by stored indices are a movement; by computed ones a look-up (an embedding).

    data [*before, rows, *after]  indices [*q]  Y [*before, *q, *after].
    """

    def listed(self, node: Node, items: tuple[T, ...], numbers: Sequence[Array]) -> tuple[T, ...] | None:
        return tuple(items[int(i)] for i in numbers[0])

    def taken(self, node: Node, shape: Shape, numbers: Sequence[Array]) -> tuple[int, Array] | None:
        axis = int(node.attr("axis", 0)) % len(shape)
        return axis, numbers[0].reshape(-1) % shape[axis]

    def axis(self, node: OpNode) -> int:
        """The gathered axis."""
        return int(node.attr("axis", 0)) % len(node.x_shape())

    def looks_up(self, node: OpNode) -> bool:
        return self.axis(node) == 0 and node.static(1) is None

    def chains(self, node: OpNode) -> list[Chain]:
        axis, shape, indices = self.axis(node), node.x_shape(), node.static(1)
        if indices is None:
            raise LookupError("indices computed at run time")
        flat = np.asarray(indices, np.int64).reshape(-1) % max(shape[axis], 1)
        middle = (*shape[:axis], len(flat), *shape[axis + 1 :])
        if indices.ndim == 1:
            return [[Take(axis, flat, shape[axis], one_by_one=True)]]
        return [[Take(axis, flat, shape[axis]), Reshape(middle, node.y_shape())]]

    def axes(self, node: OpNode) -> Correspondence:
        if node.static(1) is not None:
            return super().axes(node)
        axis, data, indices = self.axis(node), row("d", len(node.x_shape())), " ".join(row("i", len(node.x_shape(1))))
        y = " ".join((*data[:axis], indices, *data[axis + 1 :]))
        return Axes(
            f"data: {' '.join(data)}, indices: {indices} -> Y: {y}", whole=data[axis], made=" ".join(y.split()[-1:])
        )(node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        if node.static(1) is not None:
            return super().constants(node, xs)
        axis = self.axis(node)
        known, low = xs[0].even(axis)
        shape = (*known.shape[:axis], *(1,) * len(node.x_shape(1)), *known.shape[axis + 1 :])
        return [Constants(known.reshape(shape), np.where(known, low, 0.0).reshape(shape))]

    def places(self, node: OpNode, position: int, axis: int, output: int = 0) -> Array | None:
        if node.static(1) is not None:
            return super().places(node, position, axis)
        if position or axis == self.axis(node):
            return None
        behind = len(node.x_shape(1)) - 1 if axis > self.axis(node) else 0
        return pattern.on_axis(np.arange(node.x_shape()[axis]), axis + behind, len(node.y_shape()))

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        if node.static(1) is not None:
            return super().needs(node, ys, xs, yc)
        axis, width = self.axis(node), len(node.x_shape(1))
        inner = tuple(range(axis, axis + width))
        mask = (ys[0] & ~self.constants(node, xs)[0].known).any(axis=inner, keepdims=True)
        shape = (*mask.shape[:axis], 1, *mask.shape[axis + width :])
        return [mask.reshape(shape), np.ones((1,) * width, np.bool_)]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Indices counted among the rows that stay; those that nothing needs go."""
        indices = node.static(1)
        if indices is None:
            return Edit()
        axis = self.axis(node)
        rows = cut.keeps.get((node.inputs[0], axis))
        if rows.all() and (indices.ndim != 1 or cut.keeps.get((node.outputs[0], axis)).all()):
            return Edit()  # an index from the end stays one: the length may differ in the next run
        position = np.cumsum(rows) - 1
        new = position[np.asarray(indices, np.int64) % len(rows)]
        if indices.ndim == 1:
            new = new[cut.keeps.get((node.outputs[0], axis))]
        elif not rows[np.asarray(indices, np.int64) % len(rows)].all():
            raise Refusal(node.name, "unsupported-operator", "rows gathered in several axes")
        same = new.shape == indices.shape and bool((new == indices).all())
        return Edit() if same else Edit(inputs={1: new.astype(indices.dtype)})


class ExpandRule(MoveRule):
    """Expand: axes of length 1 are repeated, as often as something reads them; new axes come in front."""

    lock_reason = "shape-computed-at-runtime"

    def chains(self, node: OpNode) -> list[Chain]:
        source, target = node.x_shape(), node.y_shape()
        wide = (*(1,) * (len(target) - len(source)), *source)
        longer = [a for a, (s, t) in enumerate(zip(wide, target, strict=True)) if s != t]
        return [[Reshape(source, wide), *(Take(a, np.zeros(target[a], np.int64), 1, one_by_one=True) for a in longer)]]

    def whole_y(self, node: OpNode) -> Sequence[int]:
        rank, target = len(node.y_shape()), node.target or ()
        return [axis for axis in range(rank) if len(target) != rank or target[axis] is None]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """A spelled-out target is spelled anew; 1 keeps what comes in."""
        return respell(node, cut, 1)


class TileRule(MoveRule):
    """Tile: whole copies one after another."""

    def unsupported(self, node: OpNode) -> str | None:
        return None if node.static(1) is not None else "repeats computed at run time"

    def chains(self, node: OpNode) -> list[Chain]:
        shape, repeats = node.x_shape(), node.static(1)
        assert repeats is not None
        return [[Take(a, np.tile(np.arange(shape[a]), int(r)), shape[a]) for a, r in enumerate(repeats) if r != 1]]


_WHOLE = replace(MOVED, carries_nan=(0,), carries_infinity=(0,), keeps_elements=True)
_SHAPED = replace(MOVED, lengths_from=(1,), geometry=(1,))
_AXES = replace(_WHOLE, lengths_from=(1,), geometry=(1,))
register(ReshapeRule(), "Reshape", traits=replace(_AXES, target=1, regroups=True))
register(ReshapeRule(), "Flatten", traits=replace(_WHOLE, regroups=True))
register(ReshapeRule(), "Squeeze", "Unsqueeze", traits=_AXES)
register(TransposeRule(), "Transpose", traits=_WHOLE)
register(SplitRule(), "Split", traits=replace(_SHAPED, keeps_elements=True))
register(SliceRule(), "Slice", traits=replace(MOVED, lengths_from=(1, 2, 3, 4), geometry=(1, 2, 3, 4)))
register(GatherRule(), "Gather", traits=replace(MOVED, geometry=(1,)))
register(ExpandRule(), "Expand", traits=replace(_SHAPED, target=1))
register(TileRule(), "Tile", traits=_SHAPED)
