"""Which layer of one audit is which layer of another: by name, and by order where names changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class LayerKey:
    """What a layer is recognised by: its tensor name, the kind of its activation, its width."""

    value: str
    kind: str
    units: int


@dataclass(frozen=True, slots=True)
class Match:
    """Positions of one layer in both lists; `by_order`: the name changed, the place did not."""

    then: int
    now: int
    by_order: bool


def match_layers(then: Sequence[LayerKey], now: Sequence[LayerKey]) -> list[Match]:
    """Pairs of layers, in the order of `now`.

    Layers of one name are a pair (whatever their widths: the caller sees that). The others are aligned in graph
    order between those, a renamed layer only with one of the same kind and width.
    """
    place = {key.value: index for index, key in enumerate(then)}
    named = {index: place[key.value] for index, key in enumerate(now) if key.value in place}
    taken = set(named.values())
    # A layer with a partner by name is a token of its own, so that only neighbours of such anchors are aligned.
    before = [key.value if index in taken else (key.kind, key.units) for index, key in enumerate(then)]
    after = [key.value if index in named else (key.kind, key.units) for index, key in enumerate(now)]
    matches = [Match(one, other, by_order=False) for other, one in named.items()]
    for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            if block.b + step not in named:
                matches.append(Match(block.a + step, block.b + step, by_order=True))
    return sorted(matches, key=lambda match: match.now)
