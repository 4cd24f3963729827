"""What a value's element type makes of a derived constant, and which results hang on the last digits of an operand.

Rules calculate in double precision; the run rounds every value to its type. After a sum that the run may add up in
another order, the last digits are not known: an operator that jumps (Ceil, Equal, …) is not derived close to a jump.
Which operators jump, and which give exactly what exact operands say, are traits.
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
from analyzer.ops.operator import traits_of

#: How many units in the last place an operand may be off, through another order of summation.
DOUBTFUL_ULPS = 32
#: Results that move no further do not jump, relative to 1 or their size; nor do those a few times as far as operands.
NO_JUMP, STEEPEST = 2e-3, 4


class Rounding:
    """Rounds what one pass of the constants derives; values must come in topological order."""

    def __init__(self, context: Context, facts: Mapping[str, Constants]) -> None:
        """`facts` is what the pass has found so far; stored tensors come first and are exact."""
        self.context = context
        self.facts = facts
        self._jumps = jumps_somewhere(context)
        self._exact = {*facts, *context.graph.inputs} if self._jumps else set()
        self.decisive: set[str] = set()  # values whose last digits decide how a jump behind them comes out
        self._zeros: dict[str, Mask] = {}  # of values that are not exact: which zeros are no cancellation

    def held(self, call: Call, name: str, found: Constants) -> Constants:
        """What the value's element type holds, without results that hang on the last digits of an operand."""
        if self._jumps and self._exactly_calculated(call, name, found):
            self._exact.add(name)
        elif self._jumps and found.zero.any():
            self._zeros[name] = self._surely_zero(call, found)
        if not found.any:
            return found
        if traits_of(call.op.node).jumps:
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

    def is_doubtful(self, name: str) -> bool:
        """Whether its last digits are not known."""
        return bool(name) and self._jumps and name not in self._exact and "float" in self._dtype(name)

    def doubt(self, name: str) -> None:
        """Its elements may be a few units in the last place off."""
        self._exact.discard(name)

    def _dtype(self, name: str) -> str:
        types = self.context.graph.types
        declared = types[name].dtype if name in types else None
        return declared.name if declared is not None else self.context.table.dtypes.get(name, "float32")

    def _exactly_calculated(self, call: Call, name: str, found: Constants) -> bool:
        """Whether the run must have the very same numbers: zeros, stored ones, and what follows without a sum.

        Whole numbers and flags are derived away from jumps only, so they are the run's.
        """
        if "float" not in self._dtype(name):
            return True
        if self._dtype(name) in traits_of(call.op.node).exact_in:
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
        return self.context.constants(self.facts, call.inputs)

    def _surely_zero(self, call: Call, found: Constants) -> Mask:
        """Zeros that no other order of summation changes: every term is zero, or the operands lie off the jump."""
        operands = self._operands(call)
        place = next((i for i, c in enumerate(call.rule.constants(call.op, operands)) if c.rank == found.rank), 0)
        zeros = [self._zero_terms(n, x) for n, x in zip(call.inputs, operands, strict=True)]
        terms = call.rule.constants(call.op, zeros)[place]
        sure: Mask = terms.known & (terms.number == 0)
        if self._dtype(call.outputs[place]) in traits_of(call.op.node).exact_in:
            moved = [call.rule.constants(call.op, xs)[place] for xs in self._pushed(call, operands)]
            sure = sure | np.logical_and.reduce(np.broadcast_arrays(*(m.known & (m.number == 0) for m in moved)))
        return sure

    def _zero_terms(self, name: str, x: Constants) -> Constants:
        sure = x.zero if name in self._exact else self._zeros.get(name, np.zeros_like(x.known))
        return Constants(x.known & (x.number == 0) & sure, x.value)

    def _away_from_jumps(self, call: Call, name: str, found: Constants) -> Constants:
        """Without the elements that come out otherwise when the operands are a few units in the last place off."""
        known: Mask = found.known
        operands = self._operands(call)
        place = call.outputs.index(name)
        doubtful = [self.is_doubtful(n) for n in call.inputs]
        if not any(doubtful):
            return found
        size, step = np.maximum(np.abs(found.number), 1.0), _step(found.number, self._dtype(name))
        reach = np.maximum(STEEPEST * step, NO_JUMP * size) if "float" in self._dtype(name) else np.zeros(())
        for moved in (*self._pushed(call, operands), self._met(call, operands, doubtful)):
            other = call.rule.constants(call.op, moved)[place]
            known = known & other.known & (np.abs(other.number - found.number) <= reach) & (not call.rule.ranks)
        if (found.known & ~known).any():
            self.decisive.update(n for n, off in zip(call.inputs, doubtful, strict=True) if off)
        return Constants(known, found.value, found.multiples)

    def _pushed(self, call: Call, operands: list[Constants]) -> list[list[Constants]]:
        """The operands a few units in the last place off, the first one way and the others the other way."""
        off = [self.is_doubtful(n) for n in call.inputs]
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


def jumps_somewhere(context: Context) -> bool:
    """Whether some operator of which constants are derived can make a step of a last digit."""
    return any(call.barrier is None and traits_of(call.op.node).jumps for call in context.calls)


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
    step = _step(number, dtype)
    still = np.zeros_like(x.known) if zeros is None else zeros & (number == 0)
    return Constants(x.known, number + sign * np.where(still, 0.0, step))


def _step(number: Array, dtype: str) -> Array:
    return np.asarray(DOUBTFUL_ULPS * epsilon(dtype) * np.maximum(np.abs(number), 1.0))


def _numpy(dtype: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, dtype, dtype))
