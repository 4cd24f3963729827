"""What the input channels of a weighted sum are: constant or alive, never negative or not, and whose units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.causes.origins import Term, trace
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import Root
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.statistics import Bools, Floats
from analyzer.facts.units import Kind
from analyzer.ops.context import Context


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The indices of one axis of a value: where each comes from (None: no audited unit)."""

    value: str
    axis: int
    rank: int
    terms: tuple[Term, ...]
    owners: tuple[Root | None, ...]
    derived: Bools  # constant by derivation from weights and dead units
    values: Floats  # those constants
    nonnegative: Bools  # never negative, by the activation that makes it

    @property
    def watched(self) -> Watched | None:
        """What to measure: nothing where audited units tell everything."""
        known = all(owner is not None for owner in self.owners) and not any(t.quantised for t in self.terms)
        return None if known else Watched(self.value, self.axis, len(self.owners), self.rank)

    def constant(self, spread: Spread | None) -> Bools:
        """Constant by derivation, or as measured."""
        return self.derived if spread is None else self.derived | ~(spread.varies | np.isnan(spread.maximum))

    def resting(self, spread: Spread | None) -> Floats:
        """The number that each constant index has; means nothing for the others."""
        return self.values if spread is None else np.where(self.derived, self.values, spread.maximum)

    def never_negative(self, spread: Spread | None) -> Bools:
        """Never negative by what makes it, or as measured."""
        return self.nonnegative if spread is None else self.nonnegative | (spread.minimum >= 0)


def channels_of(
    context: Context, facts: Mapping[str, Constants], layers: Mapping[str, LayerVerdicts], value: str, axis: int
) -> Channels:
    """Look at every index of one axis of a value."""
    shape = context.shapes[value]
    length = shape[axis]
    owners: list[Root | None] = [None] * length
    nonnegative = np.zeros(length, np.bool_)
    terms = trace(context, value, axis, np.arange(length))
    for term in terms:
        layer = layers.get(term.source)
        if layer is None or layer.audited.axis != term.axis or term.splits:
            continue
        for place, index in zip(term.units.tolist(), term.index.tolist(), strict=True):
            owners[place] = (term.source, index)
        sound = _never_negative(layer)[term.index] & (term.scale >= 0) & (term.shift >= 0)
        nonnegative[term.units] = sound
    found = facts.get(value)
    known, values = (np.zeros(length, np.bool_), np.zeros(length)) if found is None else found.per_index(axis, length)
    return Channels(value, axis, len(shape), tuple(terms), tuple(owners), known, values, nonnegative)


def _never_negative(layer: LayerVerdicts) -> Bools:
    """Units that their activation keeps from being negative, or that never were on the probe."""
    audited = layer.audited
    bounded = audited.kind is not Kind.LINEAR and audited.low is not None and audited.low >= 0
    if bounded or layer.statistics is None or not layer.statistics.samples:
        return np.full(layer.units, bounded)
    return np.asarray(layer.statistics.minimum_exact & (layer.statistics.minimum >= 0))
