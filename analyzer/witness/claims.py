"""What a probe says of units, as arrays over all claims: when a point refutes them, and how near it comes to that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.evidence import Evidence
from analyzer.facts.proof import Claim
from analyzer.facts.statistics import Bools, Floats, Ints
from analyzer.facts.thresholds import Thresholds
from analyzer.facts.units import AuditedValue, Kind
from analyzer.facts.verdicts import stays
from analyzer.ops.context import Context
from analyzer.units.decomposed import find_decomposed
from analyzer.units.pre_activation import Entry, entry_of

_SEEN = tuple(kind for kind in Evidence if kind is not Evidence.STRUCTURAL)


@dataclass(frozen=True, eq=False)
class Seen:
    """What points showed: the largest and the smallest number of each index, by value; [points, indices] each."""

    largest: Mapping[str, Floats]
    smallest: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a claim breaks: once the largest number of `value` (`sign` 1; -1: the negative of the smallest) exceeds
    the `limit`.
    """

    value: str
    axis: int
    sign: int
    limit: float


@dataclass(frozen=True, eq=False)
class LayerClaims:
    """Claims of one kind about units of one value; `stays_at` are the constants of dead ones (NaN for others)."""

    audited: AuditedValue
    claim: Claim
    units: Ints
    stays_at: Floats
    aims: tuple[tuple[Aim, ...], ...]  # of each unit

    def refuted(self, seen: Seen, thresholds: Thresholds) -> Bools:
        """Which of the points refute which claims: [points, units]; what is not finite refutes nothing."""
        largest, smallest = (
            side[self.audited.value][:, self.units].astype(np.float64) for side in (seen.largest, seen.smallest)
        )
        finite = np.isfinite(largest) & np.isfinite(smallest)
        if self.claim is Claim.ALWAYS_ON:
            return finite & ~on(self.audited, smallest, largest)
        low = np.where(finite, np.minimum(smallest, self.stays_at), self.stays_at)
        high = np.where(finite, np.maximum(largest, self.stays_at), self.stays_at)
        return ~stays(self.audited, low, high, thresholds)


def on(audited: AuditedValue, smallest: Array, largest: Array) -> Bools:
    """Whether a rectifier between these is nowhere flat."""
    above = smallest > (-np.inf if audited.low is None else audited.low)
    return np.asarray(above & (largest < (np.inf if audited.high is None else audited.high)))


@dataclass(frozen=True, eq=False)
class Claims:
    """All claims, layer by layer; positions count through all of them."""

    layers: tuple[LayerClaims, ...]
    thresholds: Thresholds

    @cached_property
    def starts(self) -> list[int]:
        """Position of the first claim of each layer, and of the end."""
        return [0, *np.cumsum([len(layer.units) for layer in self.layers]).tolist()]

    def place(self, claim: int) -> tuple[LayerClaims, int]:
        """The layer of a claim, and which of its units it is about."""
        number = int(np.searchsorted(self.starts, claim, side="right")) - 1
        return self.layers[number], claim - self.starts[number]

    def aims(self, claim: int) -> tuple[Aim, ...]:
        """Where a claim breaks."""
        layer, place = self.place(claim)
        return layer.aims[place]

    @property
    def count(self) -> int:
        """How many claims there are."""
        return self.starts[-1]

    @cached_property
    def values(self) -> tuple[str, ...]:
        """All values that have to be seen."""
        aims = (aim.value for layer in self.layers for unit in layer.aims for aim in unit)
        return tuple(dict.fromkeys([*(layer.audited.value for layer in self.layers), *aims]))

    def refuted(self, seen: Seen) -> Bools:
        """Which points refute which claims: [points, claims]."""
        return np.concatenate([layer.refuted(seen, self.thresholds) for layer in self.layers], axis=1)

    @cached_property
    def _reads(self) -> list[tuple[str, int, Ints, Ints, Floats]]:
        """By value and sign of aims: their claims, units and limits."""
        found: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
        for start, layer in zip(self.starts, self.layers, strict=False):
            for place, (unit, aims) in enumerate(zip(layer.units.tolist(), layer.aims, strict=True)):
                for aim in aims:
                    found.setdefault((aim.value, aim.sign), []).append((start + place, unit, aim.limit))
        return [
            (
                *key,
                np.array([c for c, _, _ in aimed]),
                np.array([u for _, u, _ in aimed]),
                np.array([m for *_, m in aimed]),
            )
            for key, aimed in found.items()
        ]

    def nearness(self, seen: Seen) -> Floats:
        """How near points come to refuting claims, [points, claims]: they do about where they pass 0."""
        result = np.full((len(next(iter((seen.largest or seen.smallest).values()))), self.count), -np.inf)
        for value, sign, claims, units, limits in self._reads:
            extremes = seen.largest if sign > 0 else seen.smallest
            if value in extremes:
                distances = sign * extremes[value][:, units].astype(np.float64) - limits
                result[:, claims] = np.fmax(result[:, claims], np.where(np.isfinite(distances), distances, -np.inf))
        return result


def entries_of(context: Context, layers: Iterable[LayerVerdicts]) -> dict[str, Entry]:
    """What enters the activation of each of these values."""
    decomposed = {found.node.outputs[0]: found for found in find_decomposed(context.graph)}
    return {layer.value: entry_of(context, layer.audited, decomposed) for layer in layers}


def claims_of(context: Context, layers: Sequence[LayerVerdicts], thresholds: Thresholds) -> Claims:
    """The claims that the data alone shows."""
    suspects = [layer for layer in layers if layer.dead or layer.always_on]
    found, entries = [], entries_of(context, suspects)
    for layer in suspects:
        dead = layer.dead_by(*_SEEN)
        for claim, units in ((Claim.DEAD, dead), (Claim.ALWAYS_ON, layer.always_on)):
            if units:
                entry = entries[layer.value]
                constants = layer.stays_at[list(units)]
                aims = tuple(tuple(aims_at(layer.audited, claim, entry, float(c))) for c in constants)
                found.append(LayerClaims(layer.audited, claim, np.array(units, np.int64), constants, aims))
    return Claims(tuple(found), thresholds)


def aims_at(audited: AuditedValue, claim: Claim, entry: Entry, constant: float) -> list[Aim]:
    """Where a claim breaks, told by what enters a rectifier; of others by the value itself."""
    value, low, high = entry.value, entry.low, entry.high
    if value is None or audited.kind is not Kind.RECTIFIER:
        value = audited.value
        low, high = (math.inf * sign if end is None else end for sign, end in ((-1, audited.low), (1, audited.high)))
    elif claim is Claim.DEAD and constant == audited.low:
        return [Aim(value, audited.axis, 1, low)]
    elif claim is Claim.DEAD and constant == audited.high:
        return [Aim(value, audited.axis, -1, -high)]
    if claim is Claim.DEAD:
        return [Aim(audited.value, audited.axis, 1, constant), Aim(audited.value, audited.axis, -1, -constant)]
    ends = ((-1, -low), (1, high))
    return [Aim(value, audited.axis, sign, limit) for sign, limit in ends if math.isfinite(limit)]
