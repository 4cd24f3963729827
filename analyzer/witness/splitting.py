"""Domains of few numbers in parts: what bounds leave open over a whole domain, they may show over each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box, Domain
from analyzer.facts.statistics import Bools
from analyzer.witness.claims import Claims
from analyzer.witness.proofs import proven

MOST_NUMBERS = 12  # that vary; of more, parts are too many before they are small
MOST_PARTS = 1 << 12  # that are looked at for one claim
FEW_PARTS = 16  # for which each claim is tried before any is tried for more
FAINT = 0.05  # what an element counts at least, beside the one that counts most
Part = Mapping[str, Box]
Place = tuple[str | int, ...]
Name = tuple[Place, ...]  # how a part came about
Weights = Callable[[int], Mapping[str, Array]]


def worth_splitting(domain: Domain) -> bool:
    """Whether so few numbers vary that parts of the domain get small."""
    varying = (sum(int((b.low < b.high).sum()) for b in box.values()) for box in domain.boxes)
    floats = all(b.low.dtype.kind == "f" for box in domain.boxes for b in box.values() if (b.low < b.high).any())
    return floats and max(varying) <= MOST_NUMBERS


class Splitter:
    """Proves claims part by part; parts are halved where it counts most, and what they show is kept for all claims."""

    def __init__(
        self,
        bounds: Callable[[Part], Mapping[str, Box]],
        claims: Claims,
        domain: Domain,
        weights: Weights = lambda _: {},
    ) -> None:
        """`bounds` gives what lies around values for inputs of a part; `weights`, after that, how much each element of
        the inputs counts for a claim there.
        """
        self._bounds, self._claims, self._domain, self._weights = bounds, claims, domain, weights
        self._known: dict[Name, Bools] = {}
        self._places: dict[tuple[Name, int], tuple[str, int] | None] = {}

    def proves(self, claim: int, goes_on: Callable[[], bool] = lambda: True, most: int = MOST_PARTS) -> bool:
        """Whether bounds show the claim over every part, of so many at most."""
        parts: list[tuple[Name, Part]] = [((("", number),), box) for number, box in enumerate(self._domain.boxes)]
        looked_at = 0
        while parts:
            name, part = parts.pop()
            looked_at += 1
            if self._shows(name, part, claim):
                continue
            place = self._places[name, claim]
            if place is None or looked_at + len(parts) >= most or not goes_on():
                return False
            parts += [((*name, (*place, side)), half) for side, half in enumerate(_halves(part, place))]
        return True

    def _shows(self, name: Name, part: Part, claim: int) -> bool:
        """Whether the claim holds over a part; if not it is known where to halve it."""
        known = self._known.get(name)
        if (known is None or not known[claim]) and (name, claim) not in self._places:
            shown = proven(self._claims, self._bounds(part))
            known = self._known[name] = shown if known is None else known | shown
            if not known[claim]:
                self._places[name, claim] = _widest(part, self._weights(claim))
        return bool(known is not None and known[claim])


def _widest(part: Part, weights: Mapping[str, Array]) -> tuple[str, int] | None:
    """The input, and which of its elements, that is widest for how much it counts; None where no number lies inside."""
    best, found = 0.0, None
    for name, b in part.items():
        if b.low.dtype.kind != "f" or not b.low.size:
            continue
        width = b.high.astype(np.float64) - b.low
        middle = (b.low.astype(np.float64) + width / 2).astype(b.low.dtype)
        counts = np.abs(weights[name]) if name in weights and np.any(weights[name] * width) else np.ones(b.low.shape)
        score = np.where((b.low < middle) & (middle < b.high), width * (counts + FAINT * counts.max(initial=0)), 0.0)
        if score.max(initial=0) > best:
            best, found = float(score.max()), (name, int(np.argmax(score)))
    return found


def _halves(part: Part, place: tuple[str, int]) -> list[Part]:
    """The part below and above the middle of an element."""
    name, element = place
    low, high = part[name].low, part[name].high
    index = np.unravel_index(element, low.shape)
    middle = low.dtype.type(low[index].astype(np.float64) + (high[index].astype(np.float64) - low[index]) / 2)
    below, above = high.copy(), low.copy()
    below[index], above[index] = middle, middle
    return [{**part, name: Box(low, below)}, {**part, name: Box(above, high)}]
