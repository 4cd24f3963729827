"""What a value's element type makes of a derived constant, and which results hang on the last digits of an operand.

Rules calculate in double precision; the run rounds every value to its type. After a sum that the run may add up in
another order, the last digits are not known: an operator that jumps (Ceil, Equal, …) is not derived close to a jump.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import LARGEST_EXACT
from analyzer.ops.context import Call, Context

#: How many units in the last place an operand may be off, through another order of summation.
DOUBTFUL_ULPS = 32

JUMPING = frozenset(
    ("Ceil", "Floor", "Round", "Sign", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Mod", "Cast",
     "ThresholdedRelu", "Shrink", "QuantizeLinear")
)  # fmt: skip
#: Pick, move or replace elements: what goes in exactly comes out exactly.
_PICKING = frozenset(
    ("Identity", "Dropout", "Neg", "Abs", "Relu", "Max", "Min", "Clip", "Where", "Not", "And", "Or", "Xor", "Reshape",
     "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat", "Gather", "Expand", "Tile", "Pad",
     "MaxPool", "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", *JUMPING)
)  # fmt: skip
#: Round once, the same way everywhere; half precision may be calculated in single precision and rounded later.
_ROUNDING_ONCE = frozenset(("Add", "Sub", "Mul", "Div", "Sqrt", "LeakyRelu", "PRelu"))
_SINGLE_OR_DOUBLE = ("float32", "float64")


class Rounding:
    """Rounds what one pass of the constants derives; values must come in topological order."""

    def __init__(self, context: Context, facts: Mapping[str, Constants]) -> None:
        """`facts` is what the pass has found so far; stored tensors come first and are exact."""
        self.context = context
        self.facts = facts
        self._jumps = any(call.op.op_type in JUMPING for call in context.calls)
        self._exact = {*facts, *context.graph.inputs} if self._jumps else set()
        self._zeros: dict[str, Mask] = {}  # of values that are not exact: which zeros are no cancellation

    def held(self, call: Call, name: str, found: Constants) -> Constants:
        """What the value's element type holds, without results that hang on the last digits of an operand."""
        if self._jumps and self._exactly_calculated(call, name, found):
            self._exact.add(name)
        elif self._jumps and found.zero.any():
            self._zeros[name] = self._surely_zero(call, found)
        if not found.any:
            return found
        if call.op.op_type in JUMPING:
            found = self._away_from_jumps(call, name, found)
        dtype = self._dtype(name)
        if "int" in dtype:
            limits = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]  # knows the 4-bit types too
            low, high = max(limits.min, -LARGEST_EXACT), min(limits.max, LARGEST_EXACT)
            return Constants(found.known & (found.number >= low) & (found.number <= high), found.value)
        if "float" not in dtype:
            return found
        number = rounded(found.number, dtype)
        return Constants(found.known & np.isfinite(number), number, found.multiples)

    def doubt(self, name: str) -> None:
        """Its elements may be a few units in the last place off."""
        self._exact.discard(name)

    def _dtype(self, name: str) -> str:
        types = self.context.graph.types
        declared = types[name].dtype if name in types else None
        return declared.name if declared is not None else self.context.table.dtypes.get(name, "float32")

    def _exactly_calculated(self, call: Call, name: str, found: Constants) -> bool:
        """Whether the run must have the very same numbers: zeros, stored ones, and what follows without a sum."""
        kind = call.op.op_type
        once = kind in _ROUNDING_ONCE and len(call.inputs) <= 2 and self._dtype(name) in _SINGLE_OR_DOUBLE
        if kind in _PICKING or once:
            return all(n in self._exact for n in call.inputs if n)
        stored = [a for a in call.op.statics if a is not None and a.ndim < 2 and a.dtype.kind not in "SUO"]
        numbers = np.concatenate([np.zeros(1), *(a.astype(np.float64).reshape(-1) for a in stored)])
        if not np.isin(found.number, numbers).all() or not self._without_terms(call, name, found):
            return False
        zero = found.known & (found.number == 0)
        return not zero.any() or bool((self._surely_zero(call, found) | ~zero).all())

    def _without_terms(self, call: Call, name: str, found: Constants) -> bool:
        """Whether a stored number comes out because nothing is added to it, not because a sum happens to hit it."""
        operands = self._operands(call)
        place = call.outputs.index(name)
        for sign in (1, -1):
            moved = [
                x if op is not None or not n else _moved(x, sign, self._dtype(n), x.zero)
                for x, n, op in zip(operands, call.inputs, call.op.statics, strict=True)
            ]
            if not np.array_equal(call.rule.constants(call.op, moved)[place].number, found.number):
                return False
        return True

    def _operands(self, call: Call) -> list[Constants]:
        return [self.facts.get(n) or Constants.unknown(len(self.context.shapes.get(n, ()))) for n in call.inputs]

    def _surely_zero(self, call: Call, found: Constants) -> Mask:
        """Zeros that no other order of summation changes: every term is zero, or the operands lie off the jump."""
        operands = self._operands(call)
        place = next((i for i, c in enumerate(call.rule.constants(call.op, operands)) if c.rank == found.rank), 0)
        zeros = [self._zero_terms(n, x) for n, x in zip(call.inputs, operands, strict=True)]
        terms = call.rule.constants(call.op, zeros)[place]
        sure: Mask = terms.known & (terms.number == 0)
        if call.op.op_type in _PICKING or call.op.op_type in _ROUNDING_ONCE:
            moved = [call.rule.constants(call.op, xs)[place] for xs in self._pushed(call, operands)]
            sure = sure | np.logical_and.reduce(np.broadcast_arrays(*(m.known & (m.number == 0) for m in moved)))
        return sure

    def _zero_terms(self, name: str, x: Constants) -> Constants:
        sure = x.zero if name in self._exact else self._zeros.get(name, np.zeros_like(x.known))
        return Constants(x.known & (x.number == 0) & sure, x.value)

    def _away_from_jumps(self, call: Call, name: str, found: Constants) -> Constants:
        """Without the elements that come out otherwise when the operands are a few units in the last place off."""
        if call.op.op_type == "Cast" and "float" in self._dtype(name):
            return found
        known: Mask = found.known
        operands = self._operands(call)
        doubtful = [bool(n) and n not in self._exact and "float" in self._dtype(n) for n in call.inputs]
        if not any(doubtful):
            return found
        for moved in (*self._pushed(call, operands), self._met(call, operands, doubtful)):
            other = call.rule.constants(call.op, moved)[0]
            known = known & other.known & (other.number == found.number)
        return Constants(known, found.value, found.multiples)

    def _pushed(self, call: Call, operands: list[Constants]) -> list[list[Constants]]:
        """The operands a few units in the last place off, the first one way and the others the other way."""
        off = [bool(n) and n not in self._exact and "float" in self._dtype(n) for n in call.inputs]
        return [
            [
                _moved(x, sign if p == 0 else -sign, self._dtype(n), self._zeros.get(n)) if off[p] else x
                for p, (x, n) in enumerate(zip(operands, call.inputs, strict=True))
            ]
            for sign in (1, -1)
        ]

    def _met(self, call: Call, operands: list[Constants], doubtful: list[bool]) -> list[Constants]:
        """Operands on the jump itself where rounding may put them: on 0, or on one another."""
        met = list(operands)
        for place, name in enumerate(call.inputs):
            if doubtful[place]:
                number, step = operands[place].number, 2 * DOUBTFUL_ULPS * epsilon(self._dtype(name))
                others: list[Array] = (
                    [x.number for p, x in enumerate(operands) if p != place] if call.rule.aligned else []
                )
                for other in (np.zeros(()), *others):
                    number = np.where(np.abs(number - other) <= step * np.maximum(np.abs(number), 1.0), other, number)
                met[place] = Constants(operands[place].known, number)
        return met


def rounded(number: Array, dtype: str) -> Array:
    """Numbers as the type holds them, in double precision; infinite where they are too large for it."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(number.astype(_numpy(dtype)), np.float64)


def epsilon(dtype: str) -> float:
    """Distance from 1 to the next number of a floating type; 0 for others."""
    if "float" not in dtype:
        return 0.0
    return float(ml_dtypes.finfo(_numpy(dtype)).eps)  # type: ignore[no-untyped-call]  # knows bfloat16 too


def _moved(x: Constants, sign: int, dtype: str, zeros: Mask | None) -> Constants:
    """Operands a little off, but for zeros of which every term is zero."""
    number = x.number
    step = DOUBTFUL_ULPS * epsilon(dtype) * np.maximum(np.abs(number), 1.0)
    still = np.zeros_like(x.known) if zeros is None else zeros & (number == 0)
    return Constants(x.known, number + sign * np.where(still, 0.0, step))


def _numpy(dtype: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, dtype, dtype))
