"""Which layer of one audit is which layer of another: by module, by tensor name, by order where names changed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.units import stem_of


@dataclass(frozen=True, slots=True)
class LayerKey:
    """What a layer is recognised by: its tensor name, the kind of its activation, its width, its module's path."""

    value: str
    kind: str
    units: int
    module: str = ""

    @classmethod
    def of(cls, layer: LayerVerdicts) -> LayerKey:
        """What an audited layer is recognised by."""
        return cls(layer.value, str(layer.audited.kind), layer.units, layer.audited.module)


@dataclass(frozen=True, slots=True)
class Match:
    """Positions of one layer in both lists; `by_order`: the name changed, the place did not."""

    then: int
    now: int
    by_order: bool


def match_layers(then: Sequence[LayerKey], now: Sequence[LayerKey]) -> list[Match]:
    """Pairs of layers, in the order of `now`.

    Layers of one module and kind are a pair, if the module makes as many layers on both sides; then those of one tensor
    name, unless both have modules, which differ: exporters number tensors through, so that in another model `relu_3`
    may be another layer. Widths are not looked at
    (the caller does that). Of the others, those that stand between the same named neighbours are aligned in order, each
    only with one of its own kind and width.
    """
    named = _named(then, now)
    matches = list(named)
    start_then = start_now = 0
    taken = {match.then for match in named}, {match.now for match in named}
    for end in (*_in_order(named), Match(len(then), len(now), by_order=False)):
        left = [index for index in range(start_then, end.then) if index not in taken[0]]
        right = [index for index in range(start_now, end.now) if index not in taken[1]]
        matches += _aligned([then[index] for index in left], [now[index] for index in right], left, right)
        start_then, start_now = end.then + 1, end.now + 1
    return sorted(matches, key=lambda match: match.now)


def _named(then: Sequence[LayerKey], now: Sequence[LayerKey]) -> list[Match]:
    """Pairs of one name, in the order of `now`."""
    earlier, later = _by_module(then), _by_module(now)
    siblings = _siblings(then), _siblings(now)
    partner = {
        later[name]: index
        for name, index in earlier.items()
        if name in later and siblings[0][stem_of(name[0])] == siblings[1][stem_of(name[0])]
    }
    place = {key.value: index for index, key in enumerate(then) if index not in partner.values()}
    for index, key in enumerate(now):
        before = place.get(key.value)
        if index not in partner and before is not None and _may_be_one(key.module, then[before].module):
            partner[index] = before
    return [Match(partner[index], index, by_order=False) for index in sorted(partner)]


def _by_module(keys: Sequence[LayerKey]) -> dict[tuple[str, str], int]:
    """Layers by module and kind, where one alone has them."""
    times = Counter((key.module, key.kind) for key in keys)
    return {
        (key.module, key.kind): index
        for index, key in enumerate(keys)
        if key.module and times[key.module, key.kind] == 1
    }


def _siblings(keys: Sequence[LayerKey]) -> dict[str, set[str]]:
    """The names of all layers that a module makes; they were counted, so they mean the same only all together."""
    found: dict[str, set[str]] = {}
    for key in keys:
        found.setdefault(stem_of(key.module), set()).add(key.module)
    return found


def _may_be_one(module: str, other: str) -> bool:
    return not (module and other) or stem_of(module) == stem_of(other)


def _in_order(named: Sequence[Match]) -> list[Match]:
    """The longest run of pairs that stand in the same order on both sides."""
    ends: list[int] = []  # the smallest place that ends a run of each length
    runs: list[int] = []
    for match in named:
        length = bisect_left(ends, match.then)
        ends[length : length + 1] = [match.then]
        runs.append(length)
    kept: list[Match] = []
    wanted = len(ends) - 1
    for match, length in zip(reversed(named), reversed(runs), strict=True):
        if length == wanted and (not kept or match.then < kept[-1].then):
            kept.append(match)
            wanted -= 1
    return kept[::-1]


def _aligned(
    then: Sequence[LayerKey], now: Sequence[LayerKey], left: Sequence[int], right: Sequence[int]
) -> list[Match]:
    """Pairs of one kind and width, none crossing another; `left` and `right` are the layers' places."""
    before, after = [(key.kind, key.units) for key in then], [(key.kind, key.units) for key in now]
    if before == after:
        return [Match(earlier, later, by_order=True) for earlier, later in zip(left, right, strict=True)]
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return [
        Match(left[block.a + step], right[block.b + step], by_order=True)
        for block in blocks
        for step in range(block.size)
    ]
