"""What enters an audited activation, and between which bounds of it the activation is not flat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.facts.spread import Spread
from analyzer.facts.statistics import Floats
from analyzer.facts.units import AuditedValue, Kind
from analyzer.graph import Node
from analyzer.ops.context import Context
from analyzer.units.decomposed import Found

_NEVER = (-math.inf, math.inf)
# exp(x) is lost beside 1 in float32 below this: where Elu and its like are flat to the last bit.
_FLAT_EXPONENT = math.log(2.0**-24)


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
    context: Context, audited: AuditedValue, decomposed: Mapping[str, Found], flat_gradient: float = 1e-3
) -> Entry:
    """Where the audited value's activation begins; for a linear value that is the value itself."""
    node = context.graph.producer[audited.value]
    if audited.kind is Kind.LINEAR:
        return Entry(audited.value, audited.value, *_NEVER)
    if node.op_type == "FusedConv":
        return Entry(None, audited.value, *_NEVER)
    found = decomposed.get(audited.value)
    value, first = _entering(context, node, frozenset(found.inner if found is not None else ()))
    if value is None or context.shapes.get(value) != context.shapes.get(audited.value):
        return Entry(None, audited.value, *_NEVER)
    return Entry(value, value, *_bounds(context, audited, first, flat_gradient))


def _entering(context: Context, node: Node, inner: frozenset[str]) -> tuple[str | None, Node]:
    """The computed value that enters a node, looking through the inner values of a decomposed activation."""
    through = next((name for name in node.inputs if name in inner), None)
    if through is not None:
        return _entering(context, context.graph.producer[through], inner - {through})
    computed = [n for n in node.inputs if n and n not in context.graph.static_values]
    return (computed[-1] if node.op_type == "Where" and computed else next(iter(computed), None)), node


def _bounds(context: Context, audited: AuditedValue, node: Node, gradient: float) -> tuple[float, float]:
    """Bounds of the pre-activation between which the gradient is not (about) zero."""
    op = node.op_type
    if audited.kind is Kind.SATURATING:
        return _saturation(audited.op, gradient)
    if op in ("Elu", "Selu", "Celu"):
        return _FLAT_EXPONENT * float(node.attr("alpha", 1.0) if op == "Celu" else 1.0), math.inf
    if audited.kind is not Kind.RECTIFIER or op == "Sign":
        return _NEVER
    if op == "HardSigmoid":
        alpha, beta = float(node.attr("alpha", 0.2)), float(node.attr("beta", 0.5))
        if not alpha:
            return _NEVER
        edges = -beta / alpha, (1 - beta) / alpha
        return min(edges), max(edges)
    if op == "ThresholdedRelu":
        return float(node.attr("alpha", 1.0)), math.inf
    low, high = audited.low, audited.high
    if audited.op.endswith("(decomposed)"):
        low, high = 0.0, 6.0  # HardSigmoid as relu6(x + 3) / 6: what enters the Clip
    return -math.inf if low is None else low, math.inf if high is None else high


def _saturation(op: str, gradient: float) -> tuple[float, float]:
    if op == "Sigmoid":
        share = (1 - math.sqrt(max(0.0, 1 - 4 * gradient))) / 2
        edge = math.log((1 - share) / share) if share else math.inf
    elif op == "Softsign":
        edge = 1 / math.sqrt(gradient) - 1 if gradient else math.inf
    else:
        edge = math.atanh(math.sqrt(max(0.0, 1 - gradient))) if gradient else math.inf
    return -edge, edge
