"""Operators that only move elements, told as a chain of three steps: reshape, transpose, take along an axis.

The chain is the whole rule: facts go forward through it, needs and keeps go through it both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Axes, Operator

Vectors = list[Mask]


@dataclass(frozen=True, slots=True)
class Reshape:
    """Elements in the same order, other axes."""

    source: Shape
    target: Shape

    def forward(self, p: Array, fill: object = None) -> Array:
        return pattern.reshape(p, self.source, self.target)

    def backward(self, p: Mask) -> Mask:
        return pattern.reshape(p, self.target, self.source)

    def keeps(self, vectors: Vectors) -> Vectors:
        return _reshape_keeps(vectors, self.source, self.target)

    def asks(self, vectors: Vectors) -> Vectors:
        return _reshape_keeps(vectors, self.target, self.source)

    def axes(self, units: frozenset[int]) -> frozenset[int]:
        groups = pattern.reshape_groups(self.source, self.target)
        return frozenset(b for left, right in groups if units & set(left) for b in right)


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axes in another order."""

    perm: tuple[int, ...]

    def forward(self, p: Array, fill: object = None) -> Array:
        return p.transpose(self.perm)

    def backward(self, p: Mask) -> Mask:
        return p.transpose(np.argsort(self.perm))

    def keeps(self, vectors: Vectors) -> Vectors:
        return [vectors[a] for a in self.perm]

    def asks(self, vectors: Vectors) -> Vectors:
        return [vectors[a] for a in np.argsort(self.perm)]

    def axes(self, units: frozenset[int]) -> frozenset[int]:
        return frozenset(b for b, a in enumerate(self.perm) if a in units)


@dataclass(frozen=True, slots=True)
class Take:
    """Indices along one axis; -1 stands for a stored filling."""

    axis: int
    indices: npt.NDArray[np.int64]
    length: int

    def forward(self, p: Array, fill: object = None) -> Array:
        if (self.indices < 0).any():
            p = pattern.along(p, self.axis, self.length)
        return pattern.take(p, self.axis, self.indices, fill)

    def backward(self, p: Mask) -> Mask:
        return pattern.put_any(p, self.axis, self.indices, self.length)

    def keeps(self, vectors: Vectors) -> Vectors:
        result = list(vectors)
        result[self.axis] = np.where(self.indices < 0, False, vectors[self.axis][np.maximum(self.indices, 0)])
        return result

    def asks(self, vectors: Vectors) -> Vectors:
        result = list(vectors)
        taken = np.zeros(self.length, np.bool_)
        real = self.indices >= 0
        np.logical_or.at(taken, self.indices[real], vectors[self.axis][real])
        result[self.axis] = taken
        return result

    def axes(self, units: frozenset[int]) -> frozenset[int]:
        return units


Step = Reshape | Transpose | Take
Chain = Sequence[Step]


def _reshape_keeps(vectors: Vectors, source: Shape, target: Shape) -> Vectors:
    """The smallest boxes: an index stays where some element at it stays."""
    result = [np.ones(d, np.bool_) for d in target]
    alive = all(v.any() for v in vectors)
    for left, right in pattern.reshape_groups(source, target):
        box = reduce(np.logical_and.outer, [vectors[a] for a in left]) if left else np.ones((), np.bool_)
        box = box.reshape([target[a] for a in right]) if right else box
        for place, axis in enumerate(right):
            others = tuple(p for p in range(len(right)) if p != place)
            result[axis] = pattern.some(box, others) if left else np.ones(target[axis], np.bool_)
    return result if alive else [np.zeros(d, np.bool_) for d in target]


class MoveRule(Operator):
    """One input moved to one or several outputs; `chains` says how."""

    moved = 0
    moves = True

    def chains(self, node: OpNode) -> list[Chain]:
        """One chain per output."""
        raise NotImplementedError

    def fill(self, node: OpNode) -> float:
        """What stands where an index is -1."""
        return 0.0

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x, results = xs[self.moved], []
        for chain, name in zip(self.chains(node), node.outputs, strict=True):
            if not name:
                results.append(Constants.unknown(0))
                continue
            known, value = x.known, x.value
            for step in chain:
                known, value = step.forward(known, True), step.forward(value, self.fill(node))
            results.append(Constants(known, value))
        return results

    def places(self, node: OpNode, position: int, axis: int, output: int = 0) -> Array | None:
        if position != self.moved:
            return None
        shape = node.x_shape(position)
        result: Array = pattern.on_axis(np.arange(shape[axis]), axis, len(shape))
        for step in self.chains(node)[output]:
            result = step.forward(result, -1)
        return pattern.compress(result)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        total = pattern.uniform(len(node.x_shape(self.moved)), False)
        for chain, mask in zip(self.chains(node), ys, strict=True):
            if mask.any():
                for step in reversed(chain):
                    mask = step.backward(mask)
                total = total | mask
        result = [pattern.uniform(x.rank, True) for x in xs]
        result[self.moved] = total
        return result

    def ties(self, node: OpNode, keeps: Keeps) -> None:
        source = node.inputs[self.moved]
        before: list[int] = []
        while True:
            for chain, name in zip(self.chains(node), node.outputs, strict=True):
                if name and (keeps.alive(name) or len(node.outputs) == 1):
                    self._tie(chain, keeps, source, name)
            after = [int(v.sum()) for n in (source, *filter(None, node.outputs)) for v in keeps.vectors(n)]
            if after == before:
                break
            before = after
        for position, name in enumerate(node.inputs):
            if position != self.moved and name in keeps:
                keeps.pin(name)

    def _tie(self, chain: Chain, keeps: Keeps, source: str, target: str) -> None:
        asked = keeps.vectors(target)
        for step in reversed(chain):
            asked = step.asks(asked)
        if keeps.alive(target):
            keeps.grow_all(source, asked)
            if not asked:  # a single number has no axis to ask along
                keeps.pin(source)
        given = keeps.vectors(source)
        for step in chain:
            given = step.keeps(given)
        keeps.grow_all(target, given)
        if chain and isinstance(chain[-1], Take) and (chain[-1].indices < 0).any() and keeps.alive(target):
            keeps.grow((target, chain[-1].axis), chain[-1].indices < 0)

    def unit_axes(self, node: OpNode, xs: Sequence[Axes]) -> list[Axes]:
        results: list[Axes] = []
        for chain in self.chains(node):
            units = xs[self.moved] or frozenset()
            for step in chain:
                units = step.axes(units)
            results.append(units or None)
        return results
