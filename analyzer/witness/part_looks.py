"""What bounds say of a claim over parts of a domain: of many at once by rows that share runs, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.part_bounds import PartBounds
from analyzer.facts.domain import Box
from analyzer.facts.proof import Claim
from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.witness.claims import Aim, Claims, LayerClaims
from analyzer.witness.proofs import proven
from analyzer.witness.splitting import Looked, Looking, Part, Parts

Weights = Callable[[int], Mapping[str, Array]]


class OneByOne:
    """Looks at one part after the other."""

    def __init__(
        self, bounds: Callable[[Part], Mapping[str, Box]], claims: Claims, weights: Weights = lambda _: {}
    ) -> None:
        """`bounds` gives what lies around values for inputs of a part; `weights`, after that, how much each element of
        the inputs counts for a claim there.
        """
        self._bounds, self._claims, self._weights = bounds, claims, weights

    def __call__(self, claim: int, parts: Parts, known: Parts) -> Looked:
        """As `Looking`; nothing is kept for parts of these parts."""
        alone, count = only(self._claims, claim), len(next(iter(parts.values())).low)
        shown, counts = np.zeros(count, np.bool_), dict[str, list[Array]]()
        for part in range(count):
            found = self._bounds({name: Box(box.low[part], box.high[part]) for name, box in parts.items()})
            shown[part] = proven(alone, found)[0]
            weights = {} if shown[part] else self._weights(claim)
            for name, box in parts.items():
                size = box.low[part].size
                counts.setdefault(name, []).append(np.reshape(weights.get(name, np.zeros(size)), size))
        return Looked(shown, np.zeros(count), {name: np.stack(some) for name, some in counts.items()}, {})


class ByRows:
    """Looks at many parts at once, where rows of all that breaks a claim share runs."""

    def __init__(self, bounds: PartBounds, claims: Claims, other: Looking) -> None:
        """`other` looks where they do not."""
        self._bounds, self._claims, self._other = bounds, claims, other

    def __call__(self, claim: int, parts: Parts, known: Parts) -> Looked:
        """As `Looking`."""
        layer, place = self._claims.place(claim)
        unit, aims = int(layer.units[place]), layer.aims[place]
        if not aims or not all(self._bounds.takes(aim.value) for aim in aims):
            return self._other(claim, parts, known)
        count = len(next(iter(parts.values())).low)
        beyond, counts = np.full(count, -np.inf), dict[str, Array]()
        narrower = dict[str, Box]()
        for aim in aims:
            elements = self._elements(aim, unit)
            highest = self._bounds.highest(aim.value, elements, aim.sign, parts, known)
            known, over = highest.known, highest.most - aim.limit
            worse = over > beyond
            for name, array in highest.counts.items():
                counts[name] = np.where(worse[:, np.newaxis], array, counts.get(name, array))
            beyond = np.maximum(beyond, over)  # what is no number shows nothing
            narrower[aim.value] = self._limited(narrower.get(aim.value), aim, elements, highest.most)
        shown = np.asarray(beyond < 0 if layer.claim is Claim.ALWAYS_ON else beyond <= 0)
        if shown.any() and not self._holds(claim, shown, parts, narrower):
            shown = np.zeros(count, np.bool_)
        return Looked(shown, beyond, counts, known)

    def _holds(self, claim: int, shown: Bools, parts: Parts, narrower: Parts) -> bool:
        """Whether the claim follows over these parts from bounds of what breaks it: as it does over a whole domain."""
        some, known = ({n: Box(b.low[shown], b.high[shown]) for n, b in boxes.items()} for boxes in (parts, narrower))
        return bool(proven(only(self._claims, claim), self._bounds.around(some, known))[0])

    def _elements(self, aim: Aim, unit: int) -> Ints:
        shape = self._bounds.shape(aim.value)
        return np.asarray(np.arange(prod(shape)).reshape(shape).take(unit, aim.axis).reshape(-1))

    def _limited(self, before: Box | None, aim: Aim, elements: Ints, most: Floats) -> Box:
        """What is known of a value over each part, with some elements times a sign no larger than this."""
        shape = (len(most), *self._bounds.shape(aim.value))
        low, high = (np.full(shape, -np.inf), np.full(shape, np.inf)) if before is None else (before.low, before.high)
        if aim.sign > 0:
            high.reshape(len(most), -1)[:, elements] = most[:, np.newaxis]
        else:
            low.reshape(len(most), -1)[:, elements] = -most[:, np.newaxis]
        return Box(low, high)


def only(claims: Claims, claim: int) -> Claims:
    """One of the claims alone."""
    layer, place = claims.place(claim)
    one = slice(place, place + 1)
    alone = LayerClaims(layer.audited, layer.claim, layer.units[one], layer.stays_at[one], layer.aims[one])
    return Claims((alone,), claims.thresholds)
