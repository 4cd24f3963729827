"""Attention: every head averages values, weighted by how well its queries fit the keys.

Queries [b, s, (g r d)], keys [b, t, (g d)], values [b, t, (g v)] -> Y [b, s, (g r v)], or [b, heads, s, width] each;
masks [b, (g r), s, u], what came before [b, g, p, d] and [b, g, p, v], what is left for later [b, g, u, d or v].

b samples, s queries, t keys, p keys of the past, u = p + t; g heads of keys and values, of which each serves r heads of
queries; d, v their widths. Y = softmax(scale Q K' + mask) V, per head. Heads go one by one: a head whose outputs nobody
needs, together with its queries, keys and values. Queries and keys of a head stay whole; of its values, where they lie
flat and no cache holds them, some may go, in each head as many as in the others. A value that is constant over all keys
comes out as that constant, since the weights of an average add up to 1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence, Group, Lettered
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import Operator
from analyzer.ops.traits import SINGLE_OR_DOUBLE, SUMMING

Y = 0
_SLOTS = ("g", "r", "v")


@dataclass(frozen=True)
class Heads:
    """How many heads of keys there are, how many of queries for each, and how wide queries and values are."""

    groups: int
    repeats: int
    width: int
    value_width: int

    @property
    def value_start(self) -> int:
        """Where values begin behind queries and keys."""
        return 2 * self.groups * self.width

    @property
    def lengths(self) -> dict[str, int]:
        """As letters."""
        return {"g": self.groups, "r": self.repeats, "d": self.width, "v": self.value_width}


class AttentionRule(Operator):
    """Heads that are not needed go; values that are constant come out as they are."""

    stated = SUMMING
    takes_empty = True
    lock_reason = block_reason = "tied-to-kept-index"
    lock_detail = "takes heads whole, and this one is needed"
    block_detail = "takes {} of them as a whole, a head, of which something is needed"
    #: The letters along which units are made here; None where they come from the inputs.
    made: str | None = None
    #: The attributes that count heads of queries, and those of keys.
    counts = ("num_heads", "num_heads")
    #: The input that is added to scores.
    summands: int

    @abstractmethod
    def heads(self, node: OpNode) -> Heads | None:
        """The heads of a call; None where shapes and attributes do not tell."""

    @abstractmethod
    def letters(self, node: OpNode) -> str:
        """The axes of this call, as text."""

    @abstractmethod
    def values(self, node: OpNode, xs: Sequence[Constants], heads: Heads) -> tuple[Mask, Array]:
        """Values [g, v] that are one constant over all samples and keys, and the constants."""

    def narrows(self, node: OpNode) -> bool:
        """Whether values of a head can go one by one, as many in every head that stays: of each its own."""
        return False

    def averages(self, node: OpNode) -> bool:
        """Whether the weights of every query add up to 1, in a type that has room for the last digits."""
        return node.y_dtype in SINGLE_OR_DOUBLE

    def numbers_always(self, node: OpNode) -> bool:
        """Whether the weights of every query are numbers, as far as what is fed stays finite.

        A stored summand that is NaN or infinite makes none; -inf leaves a key out.
        """
        added = node.static(self.summands)
        return added is None or bool((added < np.inf).all())

    def unsupported(self, node: OpNode) -> str | None:
        return None if isinstance(self.axes(node), Lettered) else "heads that shapes and attributes do not show"

    def axes(self, node: OpNode) -> Correspondence:
        heads = self.heads(node)
        if heads is None or not all(heads.lengths.values()):
            return super().axes(node)
        only = " ".join(letter for letter, length in heads.lengths.items() if length == 1)
        made = {"made": self.made} if self.made else {}
        whole, own = f"s t u p d c m e w x {only}", "v" if self.narrows(node) else ""
        whole = whole if own else f"{whole} v"
        found = Axes(self.letters(node), whole=whole, one="i r", own=own, given=heads.lengths, **made)(node)
        if not isinstance(found, Lettered) or ("u" not in found.lengths and "p" in found.lengths):
            return found  # how many keys there are is not known
        keys = next(i for i in "uts" if i in found.lengths)
        loops = [*self.projected, ("b", "s", keys, "g", "r", "d"), ("b", "s", keys, "g", "r", "v")]
        return replace(found, loops=tuple(tuple(i for i in loop if i in found.lengths) for loop in loops))

    #: The sums that are made before queries meet keys.
    projected: tuple[Group, ...] = ()

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = [Constants.unknown(len(s or ())) for s in node.out_shapes]
        heads = self.heads(node)
        assert heads is not None  # else it is not supported
        known, number = self.values(node, xs, heads)
        known = known & (self.averages(node) | (number == 0)) & self.numbers_always(node)
        shape = (1, heads.groups * heads.repeats, 1, -1) if len(node.y_shape()) == 4 else (1, 1, -1)
        known, number = (np.repeat(array, heads.repeats, axis=0).reshape(shape) for array in (known, number))
        found[Y] = Constants(known, np.where(known, number, 0.0))
        return found

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        axes, asked = self.axes(node), self.asked(node, ys)
        assert isinstance(axes, Lettered)
        described = dict(axes.values)
        return [
            _spread(axes, name, described[name], asked) if name in described else pattern.uniform(x.rank, True)
            for name, x in zip(node.inputs, xs, strict=True)
        ]

    def asked(self, node: OpNode, ys: Sequence[Mask]) -> Mask:
        """Values of heads [g, r, v] that are needed; all of a head where they go together."""
        axes = self.axes(node)
        assert isinstance(axes, Lettered)
        lengths, described = axes.lengths, dict(axes.values)
        single = _SLOTS if self.narrows(node) else _SLOTS[:2]
        asked = np.zeros([lengths[i] for i in _SLOTS], np.bool_)
        for name, mask in zip(node.outputs, ys, strict=True):
            groups = described.get(name, ())
            along = [axis for axis, group in enumerate(groups) if not {*single}.isdisjoint(group)]
            for axis in along:
                group = groups[axis]
                vector = pattern.per_index(mask, axis, prod(lengths[i] for i in group), every=False)
                box = vector.reshape([lengths[i] for i in group])
                box = pattern.some(box, tuple(p for p, i in enumerate(group) if i not in single))
                asked = asked | box.reshape([lengths[i] if i in group and i in single else 1 for i in _SLOTS])
            if not along:
                asked = np.asarray(asked | mask.any())
        return asked

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Heads are counted anew; the default scale follows from a width that stays."""
        others = [pattern.uniform(len(shape or ()), False) for shape in node.out_shapes[Y + 1 :]]
        kept = self.asked(node, [_box(cut.keeps.vectors(node.outputs[Y])), *others])
        numbers = {self.counts[1]: int(kept.any(axis=(1, 2)).sum())}
        numbers[self.counts[0]] = int(kept.any(axis=2).sum())
        return Edit(attributes={name: n for name, n in numbers.items() if node.attr(name, n) != n})


def _box(vectors: Sequence[Mask]) -> Mask:
    """The elements that are kept."""
    box = pattern.uniform(0, True)
    for vector in vectors:
        box = np.asarray(np.logical_and.outer(box, vector))
    return box


def _spread(axes: Lettered, name: str, groups: Sequence[Group], asked: Mask) -> Mask:
    """The elements of an input that belong to some of these values of heads [g, r, v]."""
    mask = pattern.uniform(len(groups), bool(asked.any()))
    for axis, group in enumerate(groups):
        parts = [part for part, (ref, _) in axes.parts if ref == (name, axis)] or [group]
        vector = np.concatenate([_along(part, axes.lengths, asked) for part in parts])
        mask = mask & pattern.on_axis(vector, axis, len(groups))
    return mask


def _along(group: Group, lengths: Mapping[str, int], asked: Mask) -> Mask:
    box = asked.any(axis=tuple(p for p, i in enumerate(_SLOTS) if i not in group))
    shape = [lengths[i] if i in _SLOTS else 1 for i in group]
    return np.broadcast_to(box.reshape(shape), [lengths[i] for i in group]).reshape(-1)


def steady(x: Constants, over: tuple[int, int], heads: Heads) -> tuple[Mask, Array]:
    """Per slot [g, v] of values with the samples and keys `over`: whether it is one constant, and that constant."""
    low, high = x.number.min(axis=over), x.number.max(axis=over)
    known = pattern.every(x.known, over) & (low == high)
    slots = (heads.groups * heads.value_width,) if known.ndim == 1 else (heads.groups, heads.value_width)
    shape = heads.groups, heads.value_width
    known, number = (np.broadcast_to(array, slots).reshape(shape) for array in (known, low))
    return known, np.where(known, number, 0.0)


def with_past(node: OpNode, position: int, xs: Sequence[Constants], heads: Heads, now: Any) -> tuple[Mask, Array]:
    """Values that are constant `now` and were the same constant in the past, where there is one."""
    known, number = now
    if not node.has(position):
        return known, number
    if not node.x_shape(position)[2]:  # nothing; in the next feed there may be something
        return known & (2 not in node.in_free[position]), number
    before = steady(xs[position], (0, 2), heads)
    return known & before[0] & (before[1] == number), number
