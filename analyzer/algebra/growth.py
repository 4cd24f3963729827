"""Keep vectors while they are decided: grown from below until all shapes agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.keeps import Keeps, KeepVectors, Ref
from analyzer.algebra.pattern import Mask, Shape


class Growth(KeepVectors):
    """Keep vectors from which nothing is ever taken back, so that ties may be applied in any order.

    `changed` is called with every value of which more is kept than before. `some_of` is called with an axis of which
    some index must stay, when it has none; without it the first one stays.
    """

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        changed: Callable[[str], None] | None = None,
        some_of: Callable[[Ref], None] | None = None,
    ) -> None:
        super().__init__(shapes, {})
        self._changed, self._some_of = changed, some_of

    def grow(self, ref: Ref, more: Mask) -> None:
        """Keep these indices too; a single truth value stands for all of them."""
        name, axis = ref
        vectors = self.vectors(name)
        if (more > vectors[axis]).any():
            self._vectors[name] = (*vectors[:axis], vectors[axis] | more, *vectors[axis + 1 :])
            if self._changed is not None:
                self._changed(name)
        elif not vectors[axis].size:  # all of nothing stays
            self._vectors.setdefault(name, vectors)

    def grow_all(self, name: str, more: Sequence[Mask]) -> None:
        """Keep these indices too, one vector per axis."""
        for axis, vector in enumerate(more):
            self.grow((name, axis), vector)

    def keep_one(self, ref: Ref) -> None:
        """Some index of the axis stays, whichever it is."""
        vector = self.get(ref)
        if vector.any() or not vector.size:
            return
        if self._some_of is not None:
            self._some_of(ref)
        else:
            self.grow(ref, np.arange(len(vector)) == 0)

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
        else:
            self.grow_all(name, pattern.box(mask))

    def final(self) -> Keeps:
        """What was decided, as nobody can change it any more."""
        return Keeps(self._shapes, self._vectors)
