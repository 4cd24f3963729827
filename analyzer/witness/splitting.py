"""Domains of few numbers in parts: what bounds leave open over a whole domain, they may show over each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analyzer.facts.domain import Box, Domain
from analyzer.facts.statistics import Bools
from analyzer.witness.claims import Claims
from analyzer.witness.proofs import proven

MOST_NUMBERS = 12  # that vary; of more, parts are too many before they are small
MOST_PARTS = 1 << 10  # that are looked at for one claim
Part = Mapping[str, Box]


def worth_splitting(domain: Domain) -> bool:
    """Whether so few numbers vary that parts of the domain get small."""
    varying = (sum(int((b.low < b.high).sum()) for b in box.values()) for box in domain.boxes)
    floats = all(b.low.dtype.kind == "f" for box in domain.boxes for b in box.values() if (b.low < b.high).any())
    return floats and max(varying) <= MOST_NUMBERS


class Splitter:
    """Proves claims part by part; parts are halved where they are widest, and their bounds kept for other claims."""

    def __init__(self, bounds: Callable[[Part], Mapping[str, Box]], claims: Claims, domain: Domain) -> None:
        """`bounds` gives what lies around values for inputs of a part."""
        self._bounds, self._claims, self._domain = bounds, claims, domain
        self._known: dict[str, Bools] = {}

    def proves(self, claim: int, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Whether bounds show the claim over every part, of at most `MOST_PARTS`."""
        parts = [(f"{number}:", box) for number, box in enumerate(self._domain.boxes)]
        looked_at = 0
        while parts:
            name, part = parts.pop()
            looked_at += 1
            if self._shown(name, part)[claim]:
                continue
            halves = _halves(part)
            if not halves or looked_at + len(parts) >= MOST_PARTS or not goes_on():
                return False
            parts += [(f"{name}{side}", half) for side, half in enumerate(halves)]
        return True

    def _shown(self, name: str, part: Part) -> Bools:
        if name not in self._known:
            self._known[name] = proven(self._claims, self._bounds(part))
        return self._known[name]


def _halves(part: Part) -> list[Part]:
    """The part below and above the middle of its widest element; none where no number lies between its ends."""
    widths = {
        name: b.high.astype(np.float64) - b.low for name, b in part.items() if b.low.dtype.kind == "f" and b.low.size
    }
    if not widths:
        return []
    name = max(widths, key=lambda key: float(widths[key].max()))
    place = np.unravel_index(int(np.argmax(widths[name])), widths[name].shape)
    low, high = part[name].low, part[name].high
    middle = low.dtype.type(low[place].astype(np.float64) + widths[name][place] / 2)
    if not low[place] < middle < high[place]:
        return []
    below, above = high.copy(), low.copy()
    below[place], above[place] = middle, middle
    return [{**part, name: Box(low, below)}, {**part, name: Box(above, high)}]
