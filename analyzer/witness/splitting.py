"""Domains of few numbers in parts: what bounds leave open over a whole domain, they may show over each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.domain import Box, Domain
from analyzer.facts.statistics import Bools, Floats
from analyzer.witness.points import Points

MOST_NUMBERS = 12  # that vary; of more, parts are too many before they are small
MOST_PARTS = 1 << 17  # that are looked at for one claim
ROUNDS = (1 << 9, 1 << 12, 1 << 14, MOST_PARTS)  # for so many each claim is tried before any is tried for more
TOGETHER = 256  # parts that are looked at at a time
TRIED = 16  # of the parts that are looked at together: those that are furthest from being shown
KEPT = 8  # groups of parts of which it is kept what helps with them
FAINT = 0.05  # what an element counts at least, beside the one that counts most
Part = Mapping[str, Box]
Parts = Mapping[str, Box]  # several: both ends have an axis of parts in front


@dataclass(frozen=True, eq=False)
class Looked:
    """What bounds say of a claim over some parts.

    Attributes:
        shown: over which of them it holds.
        beyond: how far bounds are from showing it; infinite where nothing is known.
        counts: how much each element of the inputs counts there, by input [parts, elements]; where it is absent all
            count alike.
        known: what helps with parts of these parts.
    """

    shown: Bools
    beyond: Floats
    counts: Mapping[str, Array]
    known: Parts


class Looking(Protocol):
    """Bounds over parts."""

    def __call__(self, claim: int, parts: Parts, known: Parts) -> Looked:
        """What they say of a claim; `known` is what is known of the parts that these are parts of."""


def worth_splitting(domain: Domain) -> bool:
    """Whether so few numbers vary that parts of the domain get small."""
    varying = (sum(int((b.low < b.high).sum()) for b in box.values()) for box in domain.boxes)
    floats = all(b.low.dtype.kind == "f" for box in domain.boxes for b in box.values() if (b.low < b.high).any())
    return floats and max(varying) <= MOST_NUMBERS


class Splitter:
    """Proves claims part by part; parts are halved where it counts most."""

    def __init__(
        self,
        look: Looking,
        domain: Domain,
        together: int = TOGETHER,
        tries: Callable[[Points], None] = lambda _: None,
    ) -> None:
        """`together`: how many parts are looked at at a time. `tries` is given points at which a claim may break."""
        self._look, self._together, self._tries = look, together, tries
        whole = [_joined([_alone(box) for box in domain.boxes])]
        self._start = [(parts, dict[str, Box]()) for parts in whole]
        self._left: dict[int, list[tuple[Parts, Parts]]] = {}  # by claim the parts over which it is not shown yet
        self._looked_at: dict[int, int] = {}

    def proves(self, claim: int, goes_on: Callable[[], bool] = lambda: True, most: int = MOST_PARTS) -> bool:
        """Whether bounds show the claim over every part, of so many at most; those of calls before count."""
        left = self._left.setdefault(claim, [*self._start])
        while left:
            parts, known = self._taken(left)
            looked = self._look(claim, parts, known)
            self._looked_at[claim] = self._looked_at.get(claim, 0) + len(looked.shown)
            open_ = np.flatnonzero(~looked.shown)
            open_ = open_[np.argsort(looked.beyond[open_], kind="stable")]  # the last ones are looked at next
            if len(open_):
                still, counts = _some(parts, open_), {n: c[open_] for n, c in looked.counts.items()}
                halves = _halved(still, counts)
                if halves is None:  # a part of a single point: it stays as it is, and the claim open
                    left.append((parts, known))
                    return False
                self._tries({n: array[-TRIED:] for n, array in _corners(still, counts).items()})
                left.append((_in_turn(halves), _in_turn([_some(looked.known, open_)] * 2)))
                if len(left) > KEPT:  # what is known of parts takes far more than they do
                    left[-KEPT - 1] = left[-KEPT - 1][0], {}
            if left and (self._looked_at[claim] + sum(map(_count, (p for p, _ in left))) > most or not goes_on()):
                return False
        return True

    def _taken(self, left: list[tuple[Parts, Parts]]) -> tuple[Parts, Parts]:
        """The last parts, as many as are looked at at a time; those before them stay."""
        some = [left.pop()]
        while left and sum(_count(p) for p, _ in some) < self._together and bool(left[-1][1]) == bool(some[0][1]):
            some.insert(0, left.pop())
        parts, known = (_joined([pair[side] for pair in some]) for side in range(2))
        over = _count(parts) - self._together
        if over > 0:
            left.append((_some(parts, slice(0, over)), _some(known, slice(0, over))))
            parts, known = _some(parts, slice(over, None)), _some(known, slice(over, None))
        return parts, known


def _count(parts: Parts) -> int:
    return len(next(iter(parts.values())).low)


def _alone(part: Part) -> Parts:
    return {name: Box(box.low[np.newaxis], box.high[np.newaxis]) for name, box in part.items()}


def _some(parts: Parts, chosen: Array | slice) -> Parts:
    return {name: Box(box.low[chosen], box.high[chosen]) for name, box in parts.items()}


def _joined(several: Sequence[Parts]) -> Parts:
    if len(several) == 1:
        return several[0]
    return {
        name: Box(*(np.concatenate([getattr(parts[name], end) for parts in several]) for end in ("low", "high")))
        for name in several[0]
    }


def _in_turn(halves: Sequence[Parts]) -> Parts:
    """Both halves of the first part, then both of the next."""
    if not halves[0]:
        return {}
    order = np.arange(2 * _count(halves[0])).reshape(2, -1).T.reshape(-1)
    return _some(_joined(halves), order)


def _corners(parts: Parts, counts: Mapping[str, Array]) -> Points:
    """Of each part the corner at which a linear bound is highest."""
    return {
        name: np.where(counts[name].reshape(box.low.shape) > 0, box.high, box.low) if name in counts else box.low
        for name, box in parts.items()
    }


def _halved(parts: Parts, counts: Mapping[str, Array]) -> list[Parts] | None:
    """What lies below and above the middle of an element of each part; None where one holds no number inside.

    It is the element that is widest for how much it counts. Both halves hold the middle, so that no number is lost.
    """
    number, names = _count(parts), [name for name, box in parts.items() if box.low.dtype.kind == "f"]
    scores, middles = list[Array](), dict[str, Array]()
    for name in names:
        low, high = (end.reshape(number, -1) for end in (parts[name].low, parts[name].high))
        width = high.astype(np.float64) - low
        middles[name] = middle = (low.astype(np.float64) + width / 2).astype(low.dtype)
        sizes = np.abs(counts[name]) if name in counts else np.ones(width.shape)
        none = ~(sizes * width > 0).any(axis=1, keepdims=True)
        sizes = np.where(none, 1.0, sizes)
        score = width * (sizes + FAINT * sizes.max(axis=1, keepdims=True, initial=0))
        scores.append(np.where((low < middle) & (middle < high), score, 0.0))
    every = np.concatenate(scores, axis=1)
    best = np.argmax(every, axis=1)
    if not (every[np.arange(number), best] > 0).all():
        return None
    below, above, start = dict(parts), dict(parts), 0
    for name in names:
        low, high = (end.reshape(number, -1).copy() for end in (parts[name].low, parts[name].high))
        here = np.flatnonzero((best >= start) & (best < start + low.shape[1]))
        places = best[here] - start
        start += low.shape[1]
        middle, shape = middles[name][here, places], parts[name].low.shape
        top, bottom = high.copy(), low.copy()
        top[here, places], bottom[here, places] = middle, middle
        below[name] = Box(parts[name].low, top.reshape(shape))
        above[name] = Box(bottom.reshape(shape), parts[name].high)
    return [below, above]
