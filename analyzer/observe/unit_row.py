"""All units of all targets in one row: what they are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array, type_name
from analyzer.facts.statistics import Bools, Floats, Ints, extreme_type
from analyzer.facts.units import AuditedValue, Kind
from analyzer.observe.targets import Target


class Edge:
    """One threshold per target, against which outputs of its units are held in their own precision.

    Rounded to float32 toward the side that is not counted, it decides for every float32 as the exact one does.
    `of`: the target of each unit.
    """

    def __init__(self, exact: Floats, of: Array, *, upward: bool) -> None:
        rounded = exact.astype(np.float32)
        away = rounded < exact if upward else rounded > exact
        further = np.nextafter(rounded, np.float32(np.inf if upward else -np.inf))
        self._exact, self._rounded, self._of = exact, np.where(away, further, rounded), of

    def for_units(self, units: Ints, dtype: np.dtype[Any]) -> Array:
        """The thresholds of these units, for outputs of this type."""
        return (self._rounded if dtype == np.float32 else self._exact)[self._of[units]]


class UnitRow:
    """The units of all targets side by side, of which there may be millions; arrays have an entry per unit."""

    def __init__(self, targets: Sequence[Target], flat_gradient: float = 0.0) -> None:
        self.targets = targets
        self.units = targets[-1].stop if targets else 0
        self._of = np.repeat(np.arange(len(targets)), [t.audited.units for t in targets]).astype(np.int32)
        edges = [flat_edges(t.audited, flat_gradient) for t in targets]
        low, high = (np.array(side, np.float64) for side in ([low for low, _ in edges], [high for _, high in edges]))
        levels = np.array([_firing_level(t.audited) for t in targets], np.float64)
        #: Outputs above it count as firing.
        self.low = Edge(levels, self._of, upward=False)
        #: Outputs at or below the first, or at or above the second, are flat.
        self.low_edge, self.high_edge = Edge(low, self._of, upward=False), Edge(high, self._of, upward=True)
        #: Types that extremes are kept in.
        self.extreme_types = {"float64", *(type_name(extreme_type(t.dtype)) for t in targets)}

    @cached_property
    def flat(self) -> Bools:
        """Units with a single position per sample."""
        return self._each(lambda t: t.flat).astype(np.bool_)

    @cached_property
    def saturating(self) -> Bools:
        """Units that approach asymptotes."""
        return self._each(lambda t: t.audited.kind is Kind.SATURATING).astype(np.bool_)

    @cached_property
    def integer(self) -> Bools:
        """Units whose extremes are kept as integers."""
        return self._each(lambda t: extreme_type(t.dtype) == np.int64).astype(np.bool_)

    @cached_property
    def floor(self) -> Floats:
        """What a rectifier cannot go below; minus infinity for others."""
        return self._each(lambda t: _floor(t.audited))

    def _each(self, number: Callable[[Target], float]) -> Floats:
        """One number per target, repeated for its units."""
        return np.array([number(t) for t in self.targets], np.float64)[self._of]


def flat_edges(audited: AuditedValue, gradient: float) -> tuple[float, float]:
    """Outputs at or below the first, or at or above the second, lie where the activation's gradient is below.

    Kinds that do not saturate have no such outputs.
    """
    if audited.kind is not Kind.SATURATING:
        return -np.inf, np.inf
    low = -1.0 if audited.low is None else audited.low
    high = 1.0 if audited.high is None else audited.high
    margin = audited.curve.margin(gradient) * (high - low)
    return low + margin, high - margin


def _firing_level(audited: AuditedValue) -> float:
    """Outputs above it count as firing; a linear value has no flat region, so it always does."""
    if audited.kind is Kind.LINEAR:
        return -np.inf
    return 0.0 if audited.low is None else audited.low


def _floor(audited: AuditedValue) -> float:
    return audited.low if audited.kind is Kind.RECTIFIER and audited.low is not None else -np.inf
