"""Which layer of one model is which layer of another: by tensor name, and by order where names changed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol, TypeVar

from analyzer.facts.audit import LayerVerdicts


class LayerLike(Protocol):
    """What matching looks at: the activation's tensor name, its operator, how many units it has."""

    @property
    def value(self) -> str:
        """Tensor name of the activation."""

    @property
    def op(self) -> str:
        """Operator type of the activation."""

    @property
    def units(self) -> int:
        """How many units it has."""


@dataclass(frozen=True, slots=True)
class LayerKey:
    """The least that can be matched: one layer of a stored audit, or of a live one."""

    value: str
    op: str
    units: int

    @classmethod
    def of(cls, layer: LayerVerdicts) -> LayerKey:
        """The key of an audited layer."""
        return cls(layer.value, layer.audited.op, layer.units)


Layer = TypeVar("Layer", bound=LayerLike)


def match_layers(old: Sequence[Layer], new: Sequence[Layer]) -> list[tuple[Layer | None, Layer | None]]:
    """Pairs of the same layer, in the order of `new`; a layer without a partner is paired with None.

    A name that both have, with the same number of units, matches first: a second export keeps names, and their order
    may change. What is left is matched in order, between the same neighbours where there are any, where operator
    and number of units agree. Layers that only `old` has stand where they stood in `old`. Every layer is in exactly
    one pair.
    """
    partner = _by_name(old, new)
    _by_order(old, new, partner)
    return _in_order(old, new, partner)


def _by_name(old: Sequence[Layer], new: Sequence[Layer]) -> dict[int, int]:
    """Index in `new` -> index in `old`, for names that agree."""
    at = {layer.value: index for index, layer in enumerate(old)}
    found: dict[int, int] = {}
    for index, layer in enumerate(new):
        other = at.get(layer.value)
        # Short generated names ("5", "relu") come back for other layers, so the width must agree as well.
        if other is not None and old[other].units == layer.units and other not in found.values():
            found[index] = other
    return found


def _by_order(old: Sequence[Layer], new: Sequence[Layer], partner: dict[int, int]) -> None:
    """Match what is left: the longest common run of (operator, units), with named pairs as fixed points."""
    taken = {other: index for index, other in partner.items()}
    mine: list[Hashable] = [
        ("pair", taken[i]) if i in taken else (layer.op, layer.units) for i, layer in enumerate(old)
    ]
    theirs: list[Hashable] = [
        ("pair", i) if i in partner else (layer.op, layer.units) for i, layer in enumerate(new)
    ]
    for block in SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            partner.setdefault(block.b + step, block.a + step)


def _in_order(
    old: Sequence[Layer], new: Sequence[Layer], partner: dict[int, int]
) -> list[tuple[Layer | None, Layer | None]]:
    taken = set(partner.values())
    pairs: list[tuple[Layer | None, Layer | None]] = []
    shown = 0  # layers of `old` before this one are in `pairs`, or will be with their partner
    for index, layer in enumerate(new):
        other = partner.get(index)
        if other is not None and other >= shown:
            pairs += [(old[lost], None) for lost in range(shown, other) if lost not in taken]
            shown = other + 1
        pairs.append((None if other is None else old[other], layer))
    return pairs + [(old[lost], None) for lost in range(shown, len(old)) if lost not in taken]
