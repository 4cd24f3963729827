"""How the axes of one call's values correspond, and every question that the answer decides.

Three kinds: nothing is known (`Correspondence`), letters (`Lettered`, made by `axes.Axes`), movements (`move.Moved`).
The questions are the same: what stays together, which index is tied to which, where units lie, how many multiply-adds
there are, and whether samples stay among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, pairwise, product
from math import prod
from typing import Self

import numpy as np

from analyzer.algebra.growth import Growth
from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.facts.units import SampleAxis

Units = frozenset[int] | None
#: Indices of another axis that are cut together with an index, and whether that axis is only a part of the index's own.
Tied = tuple[Ref, Array, bool]
#: The letters of one axis, outermost first: several for an axis that is made of several.
Group = tuple[str, ...]
#: An axis, and the index on it at which something starts.
Place = tuple[Ref, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Correspondence:
    """Nothing is known: every value in `pinned` stays whole, nothing is tied, units and samples are lost.

    `follows`, of any call: pairs of axes that are equally long as one is measured to make the other.
    """

    pinned: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    follows: tuple[tuple[Ref, Ref], ...] = ()

    def ties(self, keeps: Growth) -> None:
        """Grow the keep vectors of inputs and outputs towards what the smaller node needs to be consistent.

        One step: whoever asks repeats it until nothing grows.
        """
        for name in self.pinned:
            if name in keeps:
                keeps.pin(name)
        for pair in self.follows:
            kept = _either([keeps.get(ref) for ref in pair])
            for ref in pair:
                keeps.grow(ref, kept)

    def tied(self, ref: Ref, index: int) -> list[Tied]:
        """The indices of the call's other axes that are cut together with this one.

        Along a part of its axis (the channel of a flattened map) only if the other parts stay whole.
        """
        others = [other for pair in self.follows if ref in pair for other in pair if other != ref]
        return [(other, np.asarray([index]), False) for other in others]

    def same(self) -> Iterator[tuple[Ref, Ref]]:
        """Pairs of axes that always keep the same indices."""
        return iter(self.follows)

    def held(self) -> Iterator[Ref]:
        """Axes of values that are not pinned and that stay whole all the same."""
        return iter(())

    def block(self, ref: Ref) -> int:
        """How many neighbouring indices of an axis can only go together; 1 where each goes by itself."""
        return 1

    def chosen(self) -> int | None:
        """The axis of the first output whose indices are copies one by one, so that any of them may go."""
        return None

    def units(self, given: Mapping[str, Units]) -> dict[str, Units]:
        """The unit axes of each output, given those of the inputs; None where there are none."""
        return dict.fromkeys(self.outputs)

    def multiply_adds(self, shape: Callable[[str], Shape]) -> int | None:
        """Multiply-adds for the shapes that `shape` gives, whatever the element type; None: not known."""
        return None

    def marks(self, given: Mapping[str, Mask]) -> dict[str, Mask]:
        """Which elements of the outputs are computed from marked elements of the inputs: patterns."""
        return {name: np.ones((), np.bool_) for name in self.outputs if name}

    def keeps_samples(self, samples: Mapping[str, SampleAxis], moved: Mapping[str, SampleAxis], count: int) -> bool:
        """Whether every output sample is computed from its own input sample alone; False where that is not proven.

        `samples` says where samples lie in the inputs that depend on them, `moved` where they should lie in the
        outputs; the call's shapes are those of `count` samples.
        """
        return False

    def also_pinned(self, names: Sequence[str]) -> Self:
        """The same with more values that stay whole."""
        return replace(self, pinned=(*self.pinned, *names))


@dataclass(frozen=True, kw_only=True, eq=False)
class Lettered(Correspondence):
    """One group of letters per axis; what has a letter in common is cut together.

    `whole` letters keep every index: `computed` because their lengths are computed at run time, others because the
    operator combines indices. Of `one` some index stays. Of the letters in `own`, which stand behind another
    one, every outer index keeps its own choice, all of them equally many, at least one. `made` are the letters along
    which the operator makes units; None: units come from the inputs. `loops` are those over which products run, for
    each sum that the operator makes.
    """

    values: tuple[tuple[str, tuple[Group, ...]], ...]
    lengths: Mapping[str, int]
    whole: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    one: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    made: frozenset[str] | None = None
    loops: tuple[Group, ...] = ()
    parts: tuple[tuple[Group, Place], ...] = ()
    given: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def places(self) -> Mapping[Group, tuple[Place, ...]]:
        """Where each group lies: axes, and the index on each at which it starts."""
        places: dict[Group, list[Place]] = {}
        for name, groups in self.values:
            for axis, group in enumerate(groups):
                places.setdefault(group, []).append(((name, axis), 0))
        for group, place in self.parts:
            places.setdefault(group, []).append(place)
        return {g: tuple(dict.fromkeys(found)) for g, found in places.items()}

    def ties(self, keeps: Growth) -> None:
        super().ties(keeps)
        joined = {letter for group in self.places if len(group) > 1 for letter in group}
        for group, refs in self.places.items():
            if not joined.isdisjoint(group):
                continue
            if self.whole.intersection(group):
                self._grow(keeps, refs, np.ones(prod(self._lengths(group)), np.bool_))
                continue
            self._grow(keeps, refs, self._kept(keeps, group))
            if self.one.intersection(group):
                keeps.keep_one(refs[0][0])
        if joined:
            self._tie_joined(keeps, joined)

    def _tie_joined(self, keeps: Growth, joined: set[str]) -> None:
        """The same for letters that make up an axis together: each keeps what some place asks of it."""
        groups = [(group, refs) for group, refs in self.places.items() if joined.intersection(group)]
        boxes = {g: self._kept(keeps, g).reshape(self._lengths(g)) for g, _ in groups}
        kept = {letter: np.full(self.lengths[letter], letter in self.whole) for letter in joined}
        for group, box in boxes.items():
            for place, letter in enumerate(group):
                if letter not in self.own:
                    others = tuple(p for p in range(len(group)) if p != place)
                    kept[letter] = kept[letter] | box.any(axis=others)
        for letter in self.one & (joined - self.own):
            if not kept[letter].any() and (letter,) not in self.places:  # it lies on no axis alone
                kept[letter][0] = True
        for group, refs in groups:
            self._grow(keeps, refs, self._grown(group, boxes, kept).reshape(-1))
        for letter in self.one & (joined - self.own):
            if not kept[letter].any() and (letter,) in self.places:
                keeps.keep_one(self.places[(letter,)][0][0])

    def _kept(self, keeps: Growth, group: Group) -> Mask:
        """What some place of a group keeps."""
        size = prod(self._lengths(group))
        return _either([keeps.get(ref)[start : start + size] for ref, start in self.places[group]])

    def _grow(self, keeps: Growth, places: Sequence[Place], more: Mask) -> None:
        for ref, start in places:
            wide, length = more, len(keeps.get(ref))
            if len(more) != length:
                wide = np.zeros(length, np.bool_)
                wide[start : start + len(more)] = more
            keeps.grow(ref, wide)

    def _grown(self, group: Group, boxes: Mapping[Group, Mask], kept: Mapping[str, Mask]) -> Mask:
        """What stays along axes of this group."""
        own = self.own.intersection(group)
        if not own:
            box = np.ones((), np.bool_)
            for letter in group:
                box = np.logical_and.outer(box, kept[letter])
            return box
        shared = next(g for g in boxes if len(g) > 1 and own.intersection(g))
        levelled = level(boxes[shared], kept[shared[0]])
        return levelled if len(group) > 1 else np.arange(self.lengths[group[0]]) < levelled.sum(axis=1).max()

    def _lengths(self, group: Group) -> tuple[int, ...]:
        return tuple(self.lengths[letter] for letter in group)

    def tied(self, ref: Ref, index: int) -> list[Tied]:
        found: dict[Ref, Tied] = {tied[0]: tied for tied in super().tied(ref, index)}
        for mine, start in self._groups_at(ref, index):
            if self.whole.issuperset(mine) or (len(mine) == 1 and mine[0] in self.own):
                continue
            places = zip(mine, np.unravel_index(index - start, self._lengths(mine)), strict=True)
            at = {letter: int(place) for letter, place in places if letter not in self.whole}
            for group, refs in self.places.items():
                common, cut = at.keys() & set(group), set(group) - self.whole
                alone = len(group) == 1 and group[0] in self.own
                if not common or common not in (at.keys(), cut) or alone:
                    continue
                ranges = [[at[letter]] if letter in at else range(self.lengths[letter]) for letter in group]
                indices = np.asarray([np.ravel_multi_index(i, self._lengths(group)) for i in product(*ranges)])
                for other, first in refs:
                    if (other, first) != (ref, start) or len(indices) > 1:
                        beside = found[other][1] if other in self._parted and other in found else indices[:0]
                        found[other] = other, np.union1d(beside, first + indices), len(cut) < len(at)
        return list(found.values())

    def same(self) -> Iterator[tuple[Ref, Ref]]:
        whole = ([ref for ref, _ in refs if ref not in self._parted] for refs in self.places.values())
        return chain(self.follows, (pair for refs in whole for pair in pairwise(refs)))

    def held(self) -> Iterator[Ref]:
        groups = (refs for group, refs in self.places.items() if self.whole.issuperset(group))
        return (ref for refs in groups for ref, _ in refs if ref not in self._parted)

    def block(self, ref: Ref) -> int:
        groups = (group for group, _ in self._groups_at(ref, 0))
        parts = (group for group in groups if not self.whole.issuperset(group))
        return max((prod(self.lengths[letter] for letter in self.whole.intersection(g)) for g in parts), default=1)

    @property
    def _parted(self) -> set[Ref]:
        """Axes on which several groups lie."""
        return {ref for _, (ref, _) in self.parts}

    def _groups_at(self, ref: Ref, index: int) -> Iterator[tuple[Group, int]]:
        """The groups that an index of an axis lies in, and where each starts."""
        yield from ((groups[ref[1]], 0) for name, groups in self.values if name == ref[0] and ref[1] < len(groups))
        for group, (at, start) in self.parts:
            if at == ref and start <= index < start + prod(self._lengths(group)):
                yield group, start

    def units(self, given: Mapping[str, Units]) -> dict[str, Units]:
        made = self.made
        if made is None:
            inputs = [(name, groups) for name, groups in self.values if name not in self.outputs]
            made = frozenset(letter for name, groups in inputs for a in given.get(name) or () for letter in groups[a])
        found = super().units(given)
        for name, groups in self.values:
            if name in self.outputs:
                found[name] = frozenset(a for a, group in enumerate(groups) if made.intersection(group)) or None
        return found

    def multiply_adds(self, shape: Callable[[str], Shape]) -> int | None:
        if not self.loops:
            return None
        lengths = solved(((groups, shape(name)) for name, groups in self.values), self.given)
        return sum(prod(lengths.get(i, 0) for i in loop if self.lengths[i] > 1) for loop in self.loops)

    def marks(self, given: Mapping[str, Mask]) -> dict[str, Mask]:
        values, (y, *_) = dict(self.values), self.outputs
        places = [(values.get(name, ()), mask) for name, mask in given.items()]
        straight = all(set(groups) <= set(values.get(y, ())) for groups, _ in places) and not self.whole
        return {y: _either([mask for _, mask in places])} if straight else super().marks(given)

    def keeps_samples(self, samples: Mapping[str, SampleAxis], moved: Mapping[str, SampleAxis], count: int) -> bool:
        given = dict(self.values)
        if not samples.keys() <= given.keys() - set(self.pinned) or not moved.keys() <= given.keys():
            return False
        placed = [(given[name], at) for name, at in (*samples.items(), *moved.items())]
        if any(at.axis is None or at.axis >= len(groups) for groups, at in placed):
            return False
        along = {self._outermost(groups[at.axis or 0], at.rows) for groups, at in placed}
        mixed = (self.whole - self.computed) | self.one
        alone = any(len(groups[at.axis or 0]) == 1 for groups, at in placed)  # so that it grows with the samples
        return alone and len(along) == 1 and all(rows.is_integer() and letter not in mixed for letter, rows in along)

    def _outermost(self, group: Group, rows: int) -> tuple[str, float]:
        """The letter along which samples of so many rows lie, and how many of its indices each has."""
        return group[0], rows / prod(self.lengths[letter] for letter in group[1:])


def _either(vectors: Sequence[Mask]) -> Mask:
    total = vectors[0]
    for vector in vectors[1:]:
        total = total | vector
    return total


def level(kept: Mask, live: Mask) -> Mask:
    """Live groups [g, n] filled up, first free indices first, to the count of the fullest (at least one)."""
    if not live.any():
        return kept
    target = max(int(kept.sum(axis=1).max()), 1)
    missing = np.where(live, target - kept.sum(axis=1), 0)
    order = np.cumsum(~kept, axis=1)
    return kept | (~kept & (order <= missing[:, None]))


def solved(values: Iterator[tuple[Sequence[Group], Shape]], given: Mapping[str, int]) -> dict[str, int]:
    """The length of every letter that these shapes decide; an axis of length 1 that is repeated decides nothing."""
    axes = [(group, length) for groups, shape in values for group, length in zip(groups, shape, strict=True)]
    lengths = dict(given)
    for group, length in axes:
        if len(group) == 1:
            lengths[group[0]] = max(length, lengths.get(group[0], 0))
    open_axes = [(group, length) for group, length in axes if len(group) > 1]
    while open_axes:
        ready = [(g, n) for g, n in open_axes if sum(letter not in lengths for letter in g) <= 1]
        if not ready:
            return lengths
        for group, length in ready:
            known = prod(lengths[letter] for letter in group if letter in lengths)
            for letter in group:
                if letter not in lengths:
                    lengths[letter] = length // known if known else 0
        open_axes = [axis for axis in open_axes if axis not in ready]
    return lengths
