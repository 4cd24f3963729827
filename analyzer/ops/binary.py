"""Elementwise operators of several broadcasting values.

A, B, … [*shape], right-aligned  Y [*broadcast shape];  the unit axes are those of the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Kind
from analyzer.graph import Node
from analyzer.ops.affine import Affine, Scaling, Summand
from analyzer.ops.axes import Axes
from analyzer.ops.largest import Stored, operands, product
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Activation, Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY, SINGLE_OR_DOUBLE, Traits
from analyzer.ops.trend import EXACT, LARGEST_OF, SLACK, UNIT, Ends, Trend
from analyzer.ops.unary import LEAST_DIVISOR, SMOOTH, exact_gelu, tanh_gelu

Function = Callable[[Array, Array], Array]


def _true(test: Callable[[Array, Array], Array]) -> Function:
    return lambda a, b: test(a, b).astype(np.float64)


FUNCTIONS: dict[str, Function] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": lambda a, b: a / np.where(b == 0, 1, b),
    "Mod": lambda a, b: np.mod(a, np.where(b == 0, 1, b)),
    "Pow": lambda a, b: np.power(np.abs(a), b) * np.where((a < 0) & (b % 2 == 1), -1, 1),
    "Max": np.maximum,
    "Min": np.minimum,
    "Sum": np.add,
    "Mean": np.add,
    "And": _true(lambda a, b: (a != 0) & (b != 0)),
    "Or": _true(lambda a, b: (a != 0) | (b != 0)),
    "Xor": _true(lambda a, b: (a != 0) ^ (b != 0)),
    "Equal": _true(np.equal),
    "Less": _true(np.less),
    "Greater": _true(np.greater),
    "LessOrEqual": _true(np.less_equal),
    "GreaterOrEqual": _true(np.greater_equal),
    "PRelu": lambda a, b: np.where(a >= 0, a, a * b),
}


_BOUNDS: dict[str, Callable[[Sequence[float]], float]] = {"Add": sum, "Sub": sum, "Sum": sum, "Mul": product}


def lift(x: Constants, rank: int) -> Constants:
    """The operand with the output's rank."""
    missing = (None,) * (rank - x.rank)
    multiples = x.multiples and Multiples(x.multiples.profile, x.multiples.held[missing], x.multiples.factor[missing])
    return Constants(x.known[missing], np.asarray(x.value)[missing], multiples)


class Aligned(Operator):
    """Known where every operand is known; a factor known to be zero makes a product zero."""

    axes = Axes("X...: *a -> Y: *a")
    aligned = True
    lock_reason = "elementwise-partner-alive"
    stated = replace(CONTINUOUS, passes_geometry=True)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        zeroes = node.op_type in ("Mul", "And") or _divides(node)
        if not (zeroes or all(x.any for x in xs)):
            return [Constants.unknown(rank)]
        operands = [lift(x, rank) for x in xs]
        function = np.fmod if node.attr("fmod", 0) else FUNCTIONS[node.op_type]
        known = reduce(np.logical_and, [x.known for x in operands])
        with np.errstate(all="ignore"):
            value = reduce(function, [x.number for x in operands])
        if node.op_type == "Mean":
            value = value / len(operands)
        if node.op_type in ("Div", "Mod"):
            known = known & (operands[1].number != 0)
        if node.op_type == "Pow":
            whole = operands[1].number == np.trunc(operands[1].number)
            known = known & ((operands[0].number >= 0) | whole) & np.isfinite(value)
        if not _is_float(_element_type(node)):
            known = known & (value == np.trunc(value))  # of whole numbers the fraction is cut off
        low, high = _RANGES.get(_element_type(node), (-np.inf, np.inf))
        known = known & (low <= value) & (value <= high)
        if zeroes:
            zero = operands[0].zero if _divides(node) else reduce(np.logical_or, [x.zero for x in operands])
            known, value = known | zero, np.where(zero, 0.0, value)
        return [Constants(known, np.where(known, value, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        rank = len(node.y_shape())
        result = []
        for position, shape in enumerate(node.in_shapes):
            mask = ys[0]
            if node.op_type in ("Mul", "And"):
                others = [lift(x, rank).zero for i, x in enumerate(xs) if i != position]
                # A product that some other operand already makes zero does not ask for this one.
                mask = mask & ~reduce(np.logical_or, others) if others else mask
            if node.op_type in ("Div", "Mod", "Pow") and ys[0].any() and not _finite(node, xs):
                mask = pattern.uniform(rank, True)  # may be NaN or infinite: nothing is left to chance
            result.append(pattern.any_to(mask, shape or ()))
        return result

    def marks(self, node: OpNode, position: int) -> Array | None:
        other = node.static(1 - position) if node.op_type == "Equal" else None
        return None if other is None else other[(None,) * (len(node.y_shape()) - other.ndim)]

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        bound = _BOUNDS.get(node.op_type)
        parts = None if bound is None else operands(xs, stored)
        return None if bound is None or parts is None else bound(parts)

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        if not _is_float(node.y_dtype or "") or len(xs) != 2:
            return None
        exponent = _number(node.static(1)) if node.op_type == "Pow" else None
        square = node.op_type == "Mul" and node.node.inputs[0] == node.node.inputs[1]
        if square or (exponent is not None and exponent >= 0 and exponent % 2 == 0):
            return 0.0
        parts = zip(xs, node.statics, strict=True)
        low, other = (x if array is None else float(array.min()) if array.size else None for x, array in parts)
        if node.op_type == "Max":
            return low if other is None or (low is not None and low > other) else other
        if low is None or other is None:
            return None
        if node.op_type == "Mul":
            return low * other if low >= 0 and other >= 0 else None
        return low + other if node.op_type == "Add" else None

    def affine(self, node: OpNode) -> Affine | None:
        computed, element = [p for p, array in enumerate(node.statics) if array is None], _element_type(node)
        if not computed or not (_is_float(element) or element in ("int32", "int64")):  # the narrow ones wrap around
            return None
        rank = len(node.y_shape())
        stored = {
            p: np.asarray(array, np.float64)[(None,) * (rank - np.ndim(array))]
            for p, array in enumerate(node.statics)
            if array is not None
        }
        one, none = np.ones((1,) * rank), np.zeros((1,) * rank)
        if node.op_type in ("Add", "Sub", "Sum"):
            signs = {p: -one if p and node.op_type == "Sub" else one for p in range(len(node.inputs))}
            return Affine({p: signs[p] for p in computed}, sum((signs[p] * a for p, a in stored.items()), none))
        if node.op_type == "Mean":
            share = one / len(node.inputs)
            return Affine(dict.fromkeys(computed, share), sum((share * a for a in stored.values()), none))
        if node.op_type == "Mul" and len(computed) == 1:
            return Affine({computed[0]: reduce(np.multiply, stored.values(), one)}, none)
        if node.op_type == "Div" and computed == [0]:
            whole = _is_float(element) or bool((np.abs(stored[1]) == 1).all())
            return Affine({0: 1 / stored[1]}, none) if whole and stored[1].all() else None
        return None

    def trend(self, node: OpNode) -> Trend | None:
        """Of products of two computed values, quotients and powers; all else is affine."""
        exponent = _number(node.static(1)) if node.op_type == "Pow" else None
        if exponent is not None:
            return _power(exponent)
        computed = [p for p, array in enumerate(node.statics) if array is None]
        if node.op_type == "Mul" and len(node.inputs) == len(computed) == 2:
            square = node.node.inputs[0] == node.node.inputs[1]
            return Trend(Ends.EVEN if square else Ends.CORNERS, relative=4 * UNIT, low=0.0 if square else -np.inf)
        if node.op_type == "Div" and 1 in computed:
            return Trend(Ends.CORNERS, divisor=1, relative=4 * UNIT)
        return None

    def summand(self, node: OpNode, position: int) -> Summand | None:
        other = 1 - position
        stored = node.op_type == "Add" and position in (0, 1) and node.static(other) is not None
        return Summand(other) if stored else None

    def scaling(self, node: OpNode, position: int) -> Scaling | None:
        if len(node.inputs) != 2 or not _is_float(_element_type(node)):
            return None
        other, stored = 1 - position, node.static(1 - position) is not None
        if node.op_type in ("Add", "Sub", "Max", "Min"):
            return Scaling(1, along=other) if stored else None
        if node.op_type in ("Mul", "Div"):
            power = -1 if node.op_type == "Div" and (position or stored) else 1
            return Scaling(power, takes=other if stored else None)
        exponent = _number(node.static(1)) if node.op_type == "Pow" and not position else None
        return None if exponent is None else Scaling(exponent)


def _divides(node: OpNode) -> bool:
    """Whether the divisor is computed so that it is never 0, nor so small that a quotient is likely to be infinite."""
    lowest = node.lowest[1] if node.op_type == "Div" and node.lowest else None
    return lowest is not None and lowest >= LEAST_DIVISOR and node.y_dtype in SINGLE_OR_DOUBLE


def _finite(node: OpNode, xs: Sequence[Constants]) -> bool:
    """Whether any finite first operand gives a finite result: division by no zero, whole powers from 0 on."""
    second = xs[1].number
    if not xs[1].all:
        return _divides(node)
    return (
        bool((second != 0).all()) if node.op_type in ("Div", "Mod") else bool(((second >= 0) & (second % 1 == 0)).all())
    )


class Extremum(Aligned):
    """Max, Min: against a stored number a rectifier; of two computed values one as soon as one of them is constant."""

    def activation(self, node: OpNode) -> Activation | None:
        computed = [p for p, array in enumerate(node.statics) if array is None]
        if len(node.inputs) != 2 or not computed:
            return None
        if len(computed) == 2:
            return Activation(Kind.RECTIFIER)
        bound = _number(node.static(1 - computed[0]))
        low, high = (bound, None) if node.op_type == "Max" else (None, bound)
        return None if bound is None else Activation(Kind.RECTIFIER, low, high, enters=computed[0], passes=True)

    def trend(self, node: OpNode) -> Trend | None:
        """One stored operand bounds it from one side, whatever the others are."""
        stored = [array[(None,) * (len(node.y_shape()) - array.ndim)] for array in node.statics if array is not None]
        if not stored:
            return LARGEST_OF
        bound = reduce(FUNCTIONS[node.op_type], stored)
        return Trend(low=bound, steepest=1.0) if node.op_type == "Max" else Trend(high=bound, steepest=1.0)


class PReluRule(Aligned):
    """PRelu(X, slope)."""

    def trend(self, node: OpNode) -> Trend | None:
        slopes = node.static(1)
        if slopes is None:
            return None
        steepest = max(1.0, float(np.abs(slopes).max(initial=0)) * (1 + UNIT))
        return Trend(Ends.TURNING, turns=(0.0,), relative=UNIT, bends=(0.0,), steepest=steepest)

    def activation(self, node: OpNode) -> Activation | None:
        return SMOOTH


class WhereRule(Aligned):
    """Where(C, X, Y): the chosen operand where the condition is known, else known where both agree."""

    def trend(self, node: OpNode) -> Trend | None:
        return EXACT if node.static(0) is not None else Trend(Ends.CHOICE, choices=(1, 2))

    def activation(self, node: OpNode) -> Activation | None:
        computed = [p for p in (1, 2) if _number(node.static(p)) is None]
        return Activation(Kind.RECTIFIER, enters=computed[0]) if len(computed) == 1 and node.static(0) is None else None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        c, x, y = (lift(v, rank) for v in xs)
        taken = np.where(c.number != 0, x.known, y.known)
        agree = x.known & y.known & (x.number == y.number)
        known = np.where(c.known, taken, agree)
        value = np.where(c.known & (c.number == 0), y.number, x.number)
        return [Constants(known, np.where(known, value, 0.0))]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        c = lift(xs[0], len(node.y_shape()))
        asked = [ys[0], ys[0] & ~(c.known & (c.number == 0)), ys[0] & ~(c.known & (c.number != 0))]
        return [pattern.any_to(m, s or ()) for m, s in zip(asked, node.in_shapes, strict=True)]


def _power(exponent: float) -> Trend | None:
    """Of a stored exponent; what is no whole power of a number below zero is no number."""
    if exponent <= 0:
        return None
    if exponent % 2 == 0:
        return Trend(Ends.EVEN, relative=SLACK, low=0.0)
    within = (-np.inf if exponent % 2 == 1 else 0.0, np.inf)
    return Trend(within=within, relative=SLACK, low=-np.inf if exponent % 2 == 1 else 0.0)


class BiasActivation(Aligned):
    """com.microsoft BiasGelu, FastGelu, BiasSplitGelu without split: gelu(X + B), B optional."""

    def __init__(self, function: Callable[[Array, OpNode], Array]) -> None:
        self.function = function

    def activation(self, node: OpNode) -> Activation | None:
        return replace(SMOOTH, inside=node.has(1))

    def summand(self, node: OpNode, position: int) -> Summand | None:
        return Summand(1) if position == 0 and node.has(1) and node.static(1) is not None else None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        rank = len(node.y_shape())
        operands = [lift(x, rank) for x, name in zip(xs, node.inputs, strict=True) if name]
        known = reduce(np.logical_and, [x.known for x in operands])
        total = reduce(np.add, [x.number for x in operands])
        return [Constants(known, np.where(known, self.function(total, node), 0.0))]


def _number(array: Array | None) -> float | None:
    return float(np.ravel(array)[0]) if array is not None and array.size == 1 else None


def _element_type(node: OpNode) -> str:
    """NumPy's name of the type that is computed with; empty where neither the result nor a stored operand shows it."""
    if node.y_dtype:
        return node.y_dtype
    shown = node.statics[:1] if node.op_type == "Pow" else node.statics  # an exponent may be of another type
    return next((array.dtype.name for array in shown if array is not None), "")


def _is_float(element: str) -> bool:
    return element.startswith(("float", "bfloat"))


#: Per type of whole numbers those that are computed as such: beyond them it wraps around, or a double cannot tell.
_RANGES = {"": (0, 127)} | {  # of a type that is not known those that all have
    dtype.__name__: (max(np.iinfo(dtype).min, -(1 << 53)), min(np.iinfo(dtype).max, 1 << 53))
    for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
}
_SPECIAL = {"Max": Extremum, "Min": Extremum, "PRelu": PReluRule}
_PASSING = Aligned.stated
_ARITHMETIC = replace(_PASSING, carries_nan=EVERY, carries_infinity=EVERY)
_TRAITS: dict[str, Traits] = {
    **dict.fromkeys(("Add", "Sub", "Mul"), replace(_ARITHMETIC, exact_in=SINGLE_OR_DOUBLE)),
    **dict.fromkeys(("Max", "Min", "And", "Or", "Xor"), replace(_PASSING, exact_in=EVERY)),
    **dict.fromkeys(
        ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"), replace(_PASSING, jumps=True, exact_in=EVERY)
    ),
    "Sum": _ARITHMETIC,
    "Div": replace(_PASSING, jumps=True, carries_nan=(0,), carries_infinity=(0,), exact_in=SINGLE_OR_DOUBLE),
    "PRelu": replace(CONTINUOUS, carries_nan=(0,), carries_infinity=(0,), exact_in=SINGLE_OR_DOUBLE),
    **dict.fromkeys(("Mod", "Pow"), replace(_PASSING, jumps=True)),
}
for _name in FUNCTIONS:
    register(_SPECIAL.get(_name, Aligned)(), _name, traits=_TRAITS.get(_name))
register(WhereRule(), "Where", traits=replace(_PASSING, geometry=(0,), exact_in=EVERY))
for _name, _function in {"BiasGelu": exact_gelu, "FastGelu": tanh_gelu}.items():
    _bias = replace(CONTINUOUS, carries_nan=EVERY, carries_infinity=EVERY)
    register(BiasActivation(_function), _name, domain=CONTRIB, traits=_bias)
