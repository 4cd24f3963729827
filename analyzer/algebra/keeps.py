"""Which indices of every axis of every value stay, once that is decided: nobody can change it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analyzer.algebra.pattern import Mask, Shape

Ref = tuple[str, int]


class KeepVectors:
    """Per value one boolean vector per axis, to be read.

    A value of rank 0 has one pseudo-axis of length 1. A value is alive when every axis keeps something.
    """

    def __init__(self, shapes: Mapping[str, Shape], vectors: dict[str, tuple[Mask, ...]]) -> None:
        self._shapes, self._vectors = shapes, vectors

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def vectors(self, name: str) -> tuple[Mask, ...]:
        """The keep vectors of a value, one per axis."""
        found = self._vectors.get(name)
        return tuple(np.zeros(d, np.bool_) for d in (self._shapes[name] or (1,))) if found is None else found

    def alive(self, name: str) -> bool:
        """Whether some element of the value stays."""
        return name in self._vectors and all(v.any() or not v.size for v in self._vectors[name])

    def get(self, ref: Ref) -> Mask:
        """The keep vector of one axis."""
        return self.vectors(ref[0])[ref[1]]

    def shape(self, name: str) -> Shape:
        """The value's shape after the cut."""
        return tuple(int(v.sum()) for v in self.vectors(name)) if self._shapes[name] else ()


class Keeps(KeepVectors):
    """Keep vectors that are final: arrays that cannot be written."""

    def __init__(self, shapes: Mapping[str, Shape], vectors: Mapping[str, tuple[Mask, ...]]) -> None:
        final = {name: tuple(vector.copy() for vector in given) for name, given in vectors.items()}
        for given in final.values():
            for vector in given:
                vector.flags.writeable = False
        super().__init__(dict(shapes), final)
