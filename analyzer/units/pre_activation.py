"""What enters an audited activation, and between which bounds of it the activation is not flat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.facts.spread import Spread
from analyzer.facts.statistics import Floats
from analyzer.facts.units import AuditedValue, Kind
from analyzer.ops.context import Context
from analyzer.ops.operator import Activation
from analyzer.units.decomposed import Decomposed

_NEVER = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Entry:
    """The pre-activation of an audited value, and the bounds outside of which the activation is flat.

    `value` is None where an operator computes it inside itself; `start` is where to trace weights from.
    """

    value: str | None
    start: str
    low: float
    high: float

    def distances(self, spread: Spread | None, units: int) -> list[float | None]:
        """Per unit how far the whole pre-activation lies from the nearer bound, in its standard deviations."""
        if spread is None or (math.isinf(self.low) and math.isinf(self.high)):
            return [None] * units
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = np.maximum(self.low - spread.maximum, spread.minimum - self.high)
            ratio: Floats = np.asarray(gap / spread.deviation)
        sound = spread.varies & np.isfinite(ratio)
        return [float(r) if fine else None for r, fine in zip(ratio, sound, strict=True)]


def entry_of(
    context: Context, audited: AuditedValue, decomposed: Mapping[str, Decomposed], flat_gradient: float = 1e-3
) -> Entry:
    """Where the audited value's activation begins; for a linear value that is the value itself."""
    call = context.by_node[context.graph.producer[audited.value].index]
    found = decomposed.get(audited.value)
    if audited.kind is Kind.LINEAR:
        return Entry(audited.value, audited.value, *_NEVER)
    if found is not None:
        activation, entering = found.activation, found.enters
    else:
        stated = call.rule.activation(call.op)
        activation = Activation(audited.kind, audited.low, audited.high) if stated is None else stated
        entering = "" if activation.enters is None else call.op.node.inputs[activation.enters]
    if context.shapes.get(entering) != context.shapes.get(audited.value):
        return Entry(None, audited.value, *_NEVER)
    return Entry(None if activation.inside else entering, entering, *activation.edges(flat_gradient))
