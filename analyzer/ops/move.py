"""Operators that only move elements, described as a chain of three steps: reshape, transpose, take along an axis.

The chain is the whole rule: facts go forward through it, needs and keeps go through it both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.growth import Growth
from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.facts.units import SampleAxis
from analyzer.graph import Node
from analyzer.ops.along import across, beside
from analyzer.ops.correspondence import Correspondence, Tied, Units
from analyzer.ops.largest import Stored
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, traits_of
from analyzer.ops.traits import CONTINUOUS, EVERY
from analyzer.ops.trend import Trend

Vectors = Sequence[Mask]
MOVED = replace(CONTINUOUS, exact_in=EVERY, passes_geometry=True)


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
    """Indices along one axis; -1 stands for a stored filling.

    `one_by_one`: how many copies there are is free, so one that nothing needs can go although what it copies stays.
    """

    axis: int
    indices: npt.NDArray[np.int64]
    length: int
    one_by_one: bool = False

    def forward(self, p: Array, fill: object = None) -> Array:
        if (self.indices < 0).any():
            p = pattern.along(p, self.axis, self.length)
        return pattern.take(p, self.axis, self.indices, fill)

    def backward(self, p: Mask) -> Mask:
        return pattern.put_any(p, self.axis, self.indices, self.length)

    def keeps(self, vectors: Vectors) -> Vectors:
        result = [*vectors]
        result[self.axis] = np.where(self.indices < 0, False, vectors[self.axis][np.maximum(self.indices, 0)])
        return result

    def asks(self, vectors: Vectors) -> Vectors:
        result = [*vectors]
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved(Correspondence):
    """Values that hold elements of one other, `source`, each along its chain; `whole` axes keep every index.

    `all_reach`: every index of the source that an axis takes must be there (what is joined is one with its parts);
    else a value of several of which nothing is needed may go.
    """

    source: str
    shape: Shape
    chains: tuple[tuple[Chain, str, Shape], ...]
    whole: frozenset[Ref] = frozenset()
    all_reach: bool = False

    def ties(self, keeps: Growth) -> None:
        super().ties(keeps)
        for ref in self.whole:
            keeps.pin_axis(ref)
        for chain, name, _ in self.chains:
            given = _forward(chain, keeps.vectors(self.source), grow=True)
            needed = all(v.any() for v in given) if self.all_reach else len(self.chains) == 1
            if keeps.alive(name) or needed:
                self._tie(chain, name, given, keeps)

    def _tie(self, chain: Chain, name: str, given: Vectors, keeps: Growth) -> None:
        if keeps.alive(name):
            asked = _backward(chain, keeps.vectors(name))
            keeps.grow_all(self.source, asked)
            if not asked:  # a single number has no axis to ask along
                keeps.pin(self.source)
        keeps.grow_all(name, given)
        if chain and isinstance(chain[-1], Take) and (chain[-1].indices < 0).any() and keeps.alive(name):
            keeps.grow((name, chain[-1].axis), chain[-1].indices < 0)

    def tied(self, ref: Ref, index: int) -> list[Tied]:
        found = super().tied(ref, index)
        if ref in self.whole:
            return found
        for chain, name, shape in self.chains:
            ends = [(self.source, self.shape, name, _forward), (name, shape, self.source, _backward)]
            for start, lengths, end, go in ends:
                if ref[0] == start and lengths:
                    vectors: Vectors = [np.arange(n) == index if axis == ref[1] else np.ones(n, np.bool_)
                               for axis, n in enumerate(lengths)]  # fmt: skip
                    places = [(a, v) for a, v in enumerate(go(chain, vectors)) if v.any() and not v.all()]
                    found += [((end, a), np.flatnonzero(v), len(places) > 1) for a, v in places]
        return [tied for tied in found if tied[0] not in self.whole]

    def same(self) -> Iterator[tuple[Ref, Ref]]:
        yield from self.follows
        for chain, name, _ in self.chains:
            after = {axis: _places_of(chain, axis) for axis in range(len(self.shape))}
            for axis, places in after.items():
                others = frozenset().union(*(after[other] for other in after if other != axis))
                if len(places) == 1 and not places & others:
                    yield (self.source, axis), (name, min(places))

    def held(self) -> Iterator[Ref]:
        return iter(self.whole)

    def chosen(self) -> int | None:
        steps = [step for chain, _, _ in self.chains for step in chain]
        return next((step.axis for step in steps if isinstance(step, Take) and step.one_by_one), None)

    def units(self, given: Mapping[str, Units]) -> dict[str, Units]:
        if self.all_reach:
            return {self.source: frozenset().union(*(given.get(name) or () for _, name, _ in self.chains)) or None}
        found = super().units(given)
        for chain, name, _ in self.chains:
            units = given.get(self.source) or frozenset()
            for step in chain:
                units = step.axes(units)
            found[name] = units or None
        return found

    def marks(self, given: Mapping[str, Mask]) -> dict[str, Mask]:
        if self.all_reach:
            parts = [(given.get(name, np.zeros((), np.bool_)), shape) for _, name, shape in self.chains]
            axis = next(step.axis for chain, _, _ in self.chains for step in chain if isinstance(step, Take))
            return {self.source: np.concatenate([np.broadcast_to(mask, shape) for mask, shape in parts], axis)}
        if self.source not in given:
            return super().marks(given)
        found = {}
        for chain, name, _ in self.chains:
            mask = np.broadcast_to(given[self.source], self.shape)
            for step in chain:
                mask = step.forward(mask, False)
            found[name] = mask
        return found

    def keeps_samples(self, samples: Mapping[str, SampleAxis], moved: Mapping[str, SampleAxis], count: int) -> bool:
        if not samples.keys() <= {self.source, *(name for _, name, _ in self.chains)} - set(self.pinned):
            return False
        everywhere = {**samples, **moved}
        known = [(chain, everywhere[name], shape) for chain, name, shape in self.chains if name in everywhere]
        if len(known) < len(self.chains) and not self.all_reach:
            return False
        nobody = np.full((1,) * len(self.shape), -1)  # repeated for every sample
        start = _owners(everywhere[self.source], self.shape, count) if self.source in everywhere else nobody
        return start is not None and all(_same_owners(chain, start, at, shape, count) for chain, at, shape in known)


def _places_of(chain: Chain, axis: int) -> frozenset[int]:
    """The axes into which one goes with all its indices."""
    places = frozenset({axis})
    for step in chain:
        taken = isinstance(step, Take) and step.axis in places
        places = frozenset() if taken else step.axes(places)
    return places


def _forward(chain: Chain, vectors: Vectors, *, grow: bool = False) -> Vectors:
    """Where the indices of a source end; `grow`: without copies that may go although what they copy stays."""
    for step in chain:
        after = step.keeps(vectors)
        if grow and isinstance(step, Take) and step.one_by_one:
            after = [np.zeros_like(v) if axis == step.axis else v for axis, v in enumerate(after)]
        vectors = after
    return vectors


def _backward(chain: Chain, vectors: Vectors) -> Vectors:
    for step in reversed(chain):
        vectors = step.asks(vectors)
    return vectors


def _owners(at: SampleAxis, shape: Shape, count: int) -> Array | None:
    """The sample that each element belongs to, as a pattern; None where the shape is another."""
    if at.axis is None or at.axis >= len(shape) or shape[at.axis] != count * at.rows:
        return None
    return pattern.on_axis(np.repeat(np.arange(count), at.rows), at.axis, len(shape))


def _same_owners(chain: Chain, start: Array, at: SampleAxis, shape: Shape, count: int) -> bool:
    """Whether every element comes from its own sample, or from none."""
    owners, expected = start, _owners(at, shape, count)
    for step in chain:
        owners = step.forward(owners, -1)
    return expected is not None and bool(((owners == expected) | (owners == -1)).all())


class MoveRule(Operator):
    """One input moved to one or several outputs; `chains` says how."""

    moved = 0
    moves = True
    keeps_empty = True
    stated = MOVED

    def unsteady(self, node: OpNode) -> tuple[int, ...]:
        """Axes along which a run decides which element comes from where: they stay whole, and what varies there ends.

        Of other axes every index is its own; of an operator that has some, `chains` is not asked.
        """
        return ()

    def axes(self, node: OpNode) -> Correspondence:
        if unsteady := self.unsteady(node):
            return beside(node, unsteady)
        rest = tuple(n for position, n in enumerate(node.inputs) if n and position != self.moved)
        chains = zip(self.chains(node), node.outputs, node.out_shapes, strict=True)
        whole = [*(node.x(self.moved, a) for a in self.whole_x(node)), *(node.y(a) for a in self.whole_y(node))]
        return Moved(
            pinned=rest,
            outputs=node.outputs,
            source=node.inputs[self.moved],
            shape=node.x_shape(self.moved),
            chains=tuple((chain, name, shape) for chain, name, shape in chains if name and shape is not None),
            whole=frozenset(whole),
        )

    def whole_x(self, node: OpNode) -> Sequence[int]:
        """Axes of the input of which every index stays."""
        return ()

    def whole_y(self, node: OpNode) -> Sequence[int]:
        """Axes of the output of which every index stays."""
        return ()

    def chains(self, node: OpNode) -> list[Chain]:
        """One chain per output."""
        raise NotImplementedError

    def fill(self, node: OpNode) -> float:
        """What stands where an index is -1."""
        return 0.0

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        if unsteady := self.unsteady(node):
            return [across(xs[self.moved], unsteady)]
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
        if unsteady := self.unsteady(node):
            return None if axis in unsteady else result
        for step in self.chains(node)[output]:
            result = step.forward(result, -1)
        return pattern.compress(result)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        if unsteady := self.unsteady(node):
            return [pattern.some(ys[0], unsteady, keepdims=True), *(pattern.uniform(x.rank, True) for x in xs[1:])]
        total = pattern.uniform(len(node.x_shape(self.moved)), False)
        for chain, mask in zip(self.chains(node), ys, strict=True):
            if mask.any():
                for step in reversed(chain):
                    mask = step.backward(mask)
                total = total | mask
        result = [pattern.uniform(x.rank, True) for x in xs]
        result[self.moved] = total
        return result

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return xs[self.moved]

    def trend(self, node: OpNode) -> Trend | None:
        """All elements come along, where the file and the shapes alone decide which goes where."""
        computed = {p for p in range(len(node.inputs)) if node.has(p) and node.static(p) is None} - {self.moved}
        target = traits_of(node.node).target
        if self.unsteady(node) or not computed <= {target}:
            return None
        return Trend(spelled=min(computed, default=None), selects=self.selects(node))

    def selects(self, node: OpNode) -> bool:
        """Whether nothing comes out but what goes in: no filling."""
        return True

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        return xs[self.moved]
