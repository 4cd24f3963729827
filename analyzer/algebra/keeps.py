"""Which indices of every axis of every value stay: grown from below until all shapes agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analyzer.algebra.pattern import Mask, Shape

Ref = tuple[str, int]


class Keeps:
    """Per value one boolean vector per axis; nothing is ever taken back, so rules may be applied in any order.

    A value of rank 0 has one pseudo-axis of length 1. A value is alive when every axis keeps something.
    """

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self._shapes = shapes
        self._vectors: dict[str, list[Mask]] = {}
        self.changed: Callable[[str], None] = lambda name: None
        #: Indices that are not constant: where any index will do, one of these asks for nothing more.
        self.varying: Callable[[Ref], Mask | None] = lambda ref: None
        #: Axes of which any index must stay, put off until all that is asked for by name is there; None: not put off.
        self.waiting: dict[Ref, Mask | None] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def vectors(self, name: str) -> list[Mask]:
        """The keep vectors of a value, one per axis."""
        if name not in self._vectors:
            self._vectors[name] = [np.zeros(d, np.bool_) for d in (self._shapes[name] or (1,))]
        return self._vectors[name]

    def alive(self, name: str) -> bool:
        """Whether some element of the value stays."""
        return name in self._vectors and all(v.any() or not v.size for v in self._vectors[name])

    def get(self, ref: Ref) -> Mask:
        """The keep vector of one axis."""
        return self.vectors(ref[0])[ref[1]]

    def grow(self, ref: Ref, more: Mask) -> None:
        """Keep these indices too."""
        vector = self.get(ref)
        if (more & ~vector).any():
            self.vectors(ref[0])[ref[1]] = vector | more
            self.changed(ref[0])

    def grow_all(self, name: str, more: Sequence[Mask]) -> None:
        """Keep these indices too, one vector per axis."""
        for axis, vector in enumerate(more):
            self.grow((name, axis), vector)

    def link(self, a: Ref, b: Ref) -> None:
        """Two axes that must keep the same indices."""
        self.grow(a, self.get(b))
        self.grow(b, self.get(a))

    def pin_axis(self, ref: Ref) -> None:
        """Every index of the axis stays."""
        self.grow(ref, np.ones_like(self.get(ref)))

    def pin(self, name: str) -> None:
        """The whole value stays."""
        for axis in range(len(self.vectors(name))):
            self.pin_axis((name, axis))

    def need(self, name: str, mask: Mask) -> None:
        """Keep the smallest box around the needed elements (a pattern)."""
        if not mask.any():
            return
        if mask.ndim == 0:
            self.pin(name)
            return
        for axis in range(mask.ndim):
            others = tuple(a for a in range(mask.ndim) if a != axis)
            self.grow((name, axis), np.broadcast_to(mask.any(axis=others), self.get((name, axis)).shape))

    def shape(self, name: str) -> Shape:
        """The value's shape after the cut."""
        if not self._shapes[name]:
            return ()
        return tuple(int(v.sum()) for v in self.vectors(name))
