"""Axes said once, as text: `X: n (g i) *s, W: (g o) i *k, B: (g o) -> Y: n (g o) *t`.

Inputs in the order of their positions, then outputs. Per value one entry per axis: a letter, or letters in brackets for
an axis that is made of several, outermost first. `*s` stands for any number of axes, counted from the last, as
broadcasting does. `X...` is repeated for all further inputs; `_` is a value about whose axes nothing is said: it
stays whole, like every input behind the last one. An axis of length 1 whose letter is longer elsewhere is repeated
along it, and gets a letter of its own. A letter may be a word. `(g d + g d + g v)` is an axis on which several groups
of letters lie one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from analyzer.algebra.pattern import Shape
from analyzer.ops.correspondence import Correspondence, Group, Lettered, solved
from analyzer.ops.node import OpNode

_Entry = tuple[Group, ...] | None


@cache
def _parsed(text: str) -> tuple[tuple[_Entry, ...], tuple[_Entry, ...], bool]:
    """Entries of inputs and outputs, a starred letter with its star, and whether the last input is repeated."""
    left, _, right = text.partition("->")
    inputs, outputs = ([_entry(part) for part in side.split(",") if part.strip()] for side in (left, right))
    return tuple(inputs), tuple(outputs), "..." in left


def _entry(text: str) -> _Entry:
    if text.strip() == "_":
        return None
    groups: list[Group] = []
    joined: list[str] | None = None
    for word in text.partition(":")[2].replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            joined = []
        elif word == ")":
            groups.append(tuple(joined or ()))
            joined = None
        elif joined is not None:
            joined.append(word)
        else:
            groups.append((word,))
    return tuple(groups)


@dataclass(frozen=True, slots=True)
class Axes:
    """What `text` says, and what is special about some letters, given as words: see `Lettered`.

    A starred letter is meant with all its axes. `given` are lengths that shapes do not tell. Called with a node, it is
    fitted to the node's shapes.
    """

    text: str
    whole: str = ""
    computed: str = ""
    one: str = ""
    own: str = ""
    made: str | None = None
    loops: str = ""  # of several sums, one after another, with bars between them
    alone: str = ""  # letters that say something beside others even where their length is 1
    given: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __call__(self, node: OpNode) -> Correspondence:
        """The letters of one call; nothing is known where the shapes do not fit, or an output that is used has none."""
        names = (*node.inputs, *node.outputs)
        named = tuple(map(bool, names))
        given = tuple(self.given.items())
        fitted = _fitted(self, given, len(node.inputs), named, node.in_shapes, node.out_shapes, node.used_outputs)
        if fitted is None:
            return Correspondence(pinned=tuple(filter(None, names)), outputs=node.outputs)
        return Lettered(
            pinned=tuple(names[slot] for slot in fitted.pinned),
            outputs=node.outputs,
            values=tuple((names[slot], groups) for slot, groups in fitted.values),
            lengths=fitted.lengths,
            whole=fitted.whole,
            computed=fitted.computed,
            one=fitted.one,
            own=fitted.own,
            made=fitted.made,
            loops=fitted.loops,
            parts=tuple((group, ((names[slot], axis), start)) for group, slot, axis, start in fitted.parts),
            given=self.given,
        )


class _Fitted(NamedTuple):
    """What is the same for all calls of one operator and of the same shapes: `Lettered` with slots for names.

    Slots count the inputs, then the outputs. `parts`: group, slot, axis, and where it starts there.
    """

    pinned: tuple[int, ...]
    values: tuple[tuple[int, tuple[Group, ...]], ...]
    lengths: Mapping[str, int]
    whole: frozenset[str]
    computed: frozenset[str]
    one: frozenset[str]
    own: frozenset[str]
    made: frozenset[str] | None
    loops: tuple[Group, ...]
    parts: tuple[tuple[Group, int, int, int], ...]


@lru_cache(maxsize=1024)
def _fitted(
    axes: Axes,
    given: tuple[tuple[str, int], ...],
    count: int,
    named: tuple[bool, ...],
    in_shapes: tuple[Shape | None, ...],
    out_shapes: tuple[Shape | None, ...],
    read: tuple[bool, ...],
) -> _Fitted | None:
    """The letters for these shapes of `count` inputs and of the outputs; None where nothing is known.

    `named` says which slots have a name, `read` which outputs are used.
    """
    inputs, outputs, repeated = _parsed(axes.text)
    if repeated:
        inputs = (*inputs, *inputs[-1:] * (count - len(inputs)))
    pinned = [p for p in range(count) if named[p] and (p >= len(inputs) or inputs[p] is None)]
    placed = [
        *zip(range(count), in_shapes, inputs, strict=False),
        *zip(range(count, len(named)), out_shapes, outputs, strict=False),
    ]
    values: list[tuple[int, Shape, tuple[Group, ...]]] = []
    for slot, shape, entry in placed:
        groups = None if entry is None or shape is None else _spread(entry, len(shape))
        if not named[slot] or (entry is None and slot < count):
            continue
        if not shape or groups is None:  # a number has no axes
            pinned.append(slot)
        else:
            values.append((slot, shape, groups))
    used = [p for p, (name, is_read) in enumerate(zip(named[count:], read, strict=False)) if name and is_read]
    if any(p >= len(outputs) or (count + p in pinned and out_shapes[p]) for p in used):
        return None
    parted = [(n, a, s[a], g) for n, s, groups in values for a, g in enumerate(groups) if "+" in g]
    values = [
        (n, s, tuple((f"+{place}.{a}",) if "+" in g else g for a, g in enumerate(groups)))
        for place, (n, s, groups) in enumerate(values)
    ]
    lengths = solved(((groups, shape) for _, shape, groups in values), dict(given))
    fitted = [(slot, _repeated(groups, shape, lengths, place)) for place, (slot, shape, groups) in enumerate(values)]
    alone = {letter: 1 for _, groups in fitted for group in groups for letter in group if letter not in lengths}
    lengths |= alone
    parts = [(slot, axis, length, [*_parts(group, lengths)]) for slot, axis, length, group in parted]
    fits = all(_fits(g, s, lengths) for (_, s, _), (_, g) in zip(values, fitted, strict=True))
    if not fits or any(
        sum(prod(lengths.get(i, 0) for i in g) for g, _ in found) != length for _, _, length, found in parts
    ):
        return None

    def meant(words: str) -> frozenset[str]:
        chosen = words.split()
        return frozenset(letter for letter in lengths if letter.partition("-")[0] in chosen)

    def looped(words: str) -> Group:
        return tuple(i for word in words.split() for i in lengths if i.partition("-")[0] == word)

    telling = {letter for letter, length in lengths.items() if length > 1} | meant(axes.alone)
    final = tuple((slot, tuple(_telling(g, telling) for g in groups)) for slot, groups in fitted)
    joined = {letter for _, groups in final for group in groups if len(group) > 1 for letter in group}
    return _Fitted(
        pinned=tuple(pinned),
        values=final,
        lengths=MappingProxyType(lengths),
        whole=meant(f"{axes.whole} {axes.computed}") | frozenset(alone),
        computed=meant(axes.computed) - meant(axes.whole),
        one=meant(axes.one),
        own=meant(axes.own) & joined,
        made=None if axes.made is None else meant(axes.made),
        loops=tuple(looped(term) for term in axes.loops.split("|") if term),
        parts=tuple(
            (_telling(group, telling), slot, axis, start) for slot, axis, _, found in parts for group, start in found
        ),
    )


def _spread(entry: tuple[Group, ...], rank: int) -> tuple[Group, ...] | None:
    """The entry with its star written out for a value of this rank; None where it does not fit."""
    stars = [place for place, group in enumerate(entry) if group[0].startswith("*")]
    if not stars:
        return entry if len(entry) == rank else None
    (place,) = stars
    width = rank - len(entry) + 1
    if width < 0:
        return None
    wide = tuple((f"{entry[place][0][1:]}-{width - i}",) for i in range(width))
    return (*entry[:place], *wide, *entry[place + 1 :])


def _repeated(groups: tuple[Group, ...], shape: Shape, lengths: dict[str, int], place: int) -> tuple[Group, ...]:
    """The groups with a letter of its own for every axis of length 1 whose letters are longer elsewhere."""
    return tuple(
        (f"{'.'.join(g)}/{place}.{axis}",) if n == 1 and prod(lengths.get(i, 0) for i in g) != 1 else g
        for axis, (g, n) in enumerate(zip(groups, shape, strict=True))
    )


def _parts(group: Group, lengths: Mapping[str, int]) -> Iterator[tuple[Group, int]]:
    """The groups that lie one after another on an axis, and where each starts."""
    start = 0
    for words in " ".join(group).split("+"):
        part = tuple(words.split())
        yield part, start
        start += prod(lengths.get(i, 0) for i in part)


def _fits(groups: Sequence[Group], shape: Shape, lengths: dict[str, int]) -> bool:
    return all(prod(lengths.get(i, 0) for i in g) == n for g, n in zip(groups, shape, strict=True))


def _telling(group: Group, letters: Collection[str]) -> Group:
    """These letters alone: one of length 1 says nothing beside others, as a convolution of one group has no groups."""
    return tuple(letter for letter in group if letter in letters) or group[-1:]


def row(letters: str, rank: int) -> list[str]:
    """A letter per axis, numbered: what an operator starts from that treats some axes in another way."""
    return [f"{letters}{axis}" for axis in range(rank)]
