"""Elementwise operators of one value: every output element depends on the input element at its place.

X [*shape]  Y [*shape];  unit axes pass through. A row per operator: its function in double precision, and how its
activation is audited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.facts.units import Curve, Kind
from analyzer.graph import Node, element_type
from analyzer.ops.affine import Affine, Scaling
from analyzer.ops.axes import Axes
from analyzer.ops.largest import Stored, most
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Activation, Operator, register
from analyzer.ops.traits import CONTINUOUS, EVERY, SINGLE_OR_DOUBLE, Traits
from analyzer.ops.trend import Trend
from analyzer.ops.turning import trend_of

Function = Callable[[Array, OpNode], Array]
T = TypeVar("T")


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))


def _hard_sigmoid(x: Array, n: OpNode) -> Array:
    return np.clip(x * float(n.attr("alpha", 0.2)) + float(n.attr("beta", 0.5)), 0, 1)


def exact_gelu(x: Array, n: OpNode) -> Array:
    """x times the normal distribution function of x, or its tanh form where the node asks for it."""
    if n.attr("approximate", "none") == "tanh":
        return tanh_gelu(x, n)
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def tanh_gelu(x: Array, n: OpNode) -> Array:
    """The tanh form of GELU."""
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def _elu(x: Array, n: OpNode) -> Array:
    return np.where(x > 0, x, float(n.attr("alpha", 1.0)) * np.expm1(np.minimum(x, 0)))


def _selu(x: Array, n: OpNode) -> Array:
    alpha, gamma = float(n.attr("alpha", 1.6732632423543772)), float(n.attr("gamma", 1.0507009873554805))
    return np.where(x > 0, gamma * x, gamma * alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Array, n: OpNode) -> Array:
    alpha = float(n.attr("alpha", 1.0))
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _leaky(x: Array, n: OpNode) -> Array:
    return np.where(x >= 0, x, float(np.float32(n.attr("alpha", 0.01))) * x)


def _thresholded(x: Array, n: OpNode) -> Array:
    return np.where(x > float(n.attr("alpha", 1.0)), x, 0.0)


def _softplus(x: Array, n: OpNode) -> Array:
    return np.logaddexp(0, x)


def _mish(x: Array, n: OpNode) -> Array:
    return x * np.tanh(np.logaddexp(0, x))


def _shrink(x: Array, n: OpNode) -> Array:
    bias, lambd = float(n.attr("bias", 0.0)), float(n.attr("lambd", 0.5))
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0))


def _quick_gelu(x: Array, n: OpNode) -> Array:
    return x * _sigmoid(float(n.attr("alpha", 1.702)) * x)


def _plain(function: Callable[[Array], Array]) -> Function:
    return lambda x, _: function(x)


def _same(x: Array, n: OpNode) -> Array:
    return x


RECTIFIER = Activation(Kind.RECTIFIER, low=0.0, passes=True)
SMOOTH = Activation(Kind.SMOOTH)
# exp(x) is lost beside 1 in float32 below this: where Elu and its like are flat to the last bit.
_FLAT_EXPONENT = math.log(2.0**-24)


def _thresholded_relu(n: OpNode) -> Activation:
    """One that passes what is above a negative threshold has values on both sides of zero."""
    alpha = float(n.attr("alpha", 1.0))
    return Activation(Kind.RECTIFIER, low=0.0 if alpha >= 0 else None, bends=(alpha, math.inf), passes=True)


def _clipped_line(n: OpNode) -> Activation:
    alpha, beta = float(n.attr("alpha", 0.2)), float(n.attr("beta", 0.5))
    low, high = sorted((-beta / alpha, (1 - beta) / alpha)) if alpha else (-math.inf, math.inf)
    return Activation(Kind.RECTIFIER, low=0.0, high=1.0, bends=(low, high))


def _exponential(n: OpNode) -> Activation:
    scale = float(n.attr("alpha", 1.0)) if n.op_type == "Celu" else 1.0
    return Activation(Kind.SMOOTH, bends=(_FLAT_EXPONENT * scale, math.inf))


def _saturating(low: float, curve: Curve) -> Activation:
    return Activation(Kind.SATURATING, low=low, high=1.0, curve=curve)


ACTIVATIONS: dict[str, tuple[Function, Activation | Callable[[OpNode], Activation]]] = {
    "Relu": (_plain(lambda x: np.maximum(x, 0)), RECTIFIER),
    "ThresholdedRelu": (_thresholded, _thresholded_relu),
    "HardSigmoid": (_hard_sigmoid, _clipped_line),
    "Sign": (_plain(np.sign), Activation(Kind.RECTIFIER, low=-1.0, high=1.0, bends=(-math.inf, math.inf))),
    "Sigmoid": (_plain(_sigmoid), _saturating(0.0, Curve.SIGMOID)),
    "Tanh": (_plain(np.tanh), _saturating(-1.0, Curve.TANH)),
    "Softsign": (_plain(lambda x: x / (1 + np.abs(x))), _saturating(-1.0, Curve.SOFTSIGN)),
    "LeakyRelu": (_leaky, SMOOTH),
    "Elu": (_elu, _exponential),
    "Selu": (_selu, _exponential),
    "Celu": (_celu, _exponential),
    "Gelu": (exact_gelu, SMOOTH),
    "Swish": (lambda x, n: x * _sigmoid(float(n.attr("alpha", 1.0)) * x), SMOOTH),
    "HardSwish": (_plain(lambda x: x * np.clip(x / 6 + 0.5, 0, 1)), SMOOTH),
    "Mish": (_mish, SMOOTH),
    "Softplus": (_softplus, SMOOTH),
    "Shrink": (_shrink, SMOOTH),
}
#: Defined and finite for every finite input, so an unneeded element cannot poison a needed one.
TOTAL: dict[str, Function] = {
    "Identity": _same,
    "Dropout": _same,
    "Cast": _same,
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Round": _plain(np.round),
    "Erf": _plain(_erf),
    "Sin": _plain(np.sin),
    "Cos": _plain(np.cos),
    "Atan": _plain(np.arctan),
    "Not": _plain(lambda x: (x == 0).astype(np.float64)),
    "IsNaN": _plain(np.zeros_like),
    "IsInf": _plain(np.zeros_like),
}
#: May give NaN or infinity; whatever goes in stays needed.
PARTIAL: dict[str, Function] = {
    "Sqrt": _plain(lambda x: np.sqrt(np.maximum(x, 0))),
    "Log": _plain(lambda x: np.log(np.where(x > 0, x, 1))),
    "Exp": _plain(lambda x: np.exp(np.minimum(x, 700))),
    "Reciprocal": _plain(lambda x: 1 / np.where(x == 0, 1, x)),
    "Tan": _plain(np.tan),
    "Sinh": _plain(lambda x: np.sinh(np.clip(x, -700, 700))),
    "Cosh": _plain(lambda x: np.cosh(np.clip(x, -700, 700))),
}
_DOMAIN_OF: dict[str, Callable[[Array], Array]] = {
    "Sqrt": lambda x: x >= 0,
    "Log": lambda x: x > 0,
    "Reciprocal": lambda x: x != 0,
    "Exp": lambda x: x < 80,
    "Sinh": lambda x: np.abs(x) < 80,
    "Cosh": lambda x: np.abs(x) < 80,
}


#: NaN goes through all of these, infinities through some: tried with onnxruntime's CPU kernels, behind a Conv too.
_NAN = replace(CONTINUOUS, carries_nan=(0,))
_ARITHMETIC = replace(CONTINUOUS, carries_nan=(0,), carries_infinity=(0,))
_STEP = replace(CONTINUOUS, jumps=True, exact_in=EVERY)
_TRAITS: dict[str, Traits] = {
    **dict.fromkeys(("Gelu", "HardSwish", "Mish", "Swish"), _ARITHMETIC),
    **dict.fromkeys(
        ("Sigmoid", "Tanh", "Elu", "Selu", "Celu", "HardSigmoid", "Softplus", "Softsign", "Exp", "Erf"), _NAN
    ),
    **dict.fromkeys(("Identity", "Neg", "Abs"), replace(_ARITHMETIC, exact_in=EVERY, passes_geometry=True)),
    "Dropout": replace(_ARITHMETIC, exact_in=EVERY),
    **dict.fromkeys(("Ceil", "IsInf", "IsNaN", "Round", "Sign", "ThresholdedRelu"), _STEP),
    **dict.fromkeys(("Log", "Reciprocal", "Tan"), replace(CONTINUOUS, jumps=True)),
    "LeakyRelu": replace(_ARITHMETIC, exact_in=SINGLE_OR_DOUBLE),
    "Shrink": replace(_STEP, exact_in=SINGLE_OR_DOUBLE),
    "Sqrt": replace(_ARITHMETIC, jumps=True, exact_in=SINGLE_OR_DOUBLE),
    "Relu": replace(_NAN, exact_in=EVERY),
    "Not": replace(CONTINUOUS, exact_in=EVERY, passes_geometry=True),
    "Floor": replace(_ARITHMETIC, jumps=True, exact_in=EVERY),
    "Cast": replace(CONTINUOUS, exact_in=EVERY),
}
#: By how much the result can be larger than the operand, where it is not `alpha` times as large at most.
_FACTORS = {"Relu": 1.0, "Identity": 1.0, "Dropout": 1.0, "LeakyRelu": 0.01}
LEAST_DIVISOR = 1e-20  # no quotient by more is likely to be infinite
#: Of an operand that lacks a factor the result lacks this power of it.
_POWERS = {"Sqrt": 0.5, "Reciprocal": -1.0, **dict.fromkeys(("Identity", "Abs", "Neg", "Relu", "LeakyRelu"), 1.0)}
_FROM_ZERO = ("Abs", "Exp", "Relu", "Sqrt")  # never below zero, and of larger operands no smaller


class Unary(Operator):
    """Same-unit: constants go through the function, needs and keeps pass straight."""

    stated = CONTINUOUS
    same_unit = True

    def __init__(
        self, function: Function, activation: Activation | Callable[[OpNode], Activation] | None = None
    ) -> None:
        self.function = function
        self._activation = activation

    def activation(self, node: OpNode) -> Activation | None:
        return self._activation(node) if callable(self._activation) else self._activation

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        trains = len(node.inputs) > 2 and bool(node.inputs[2])
        return Traits(sums_products=False) if trains else stated

    def unsupported(self, node: OpNode) -> str | None:
        if node.op_type == "Dropout" and node.has(2) and not _is_false(node.static(2)):
            return "Dropout in training mode is random"
        if not node.only_first_output:
            return "Dropout's mask output is used"
        return None

    axes = Axes("X: *a -> Y: *a")

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x = xs[0]
        if not x.any:
            return [Constants.unknown(x.rank)]
        known = x.known
        if node.op_type in _DOMAIN_OF:
            known = known & _DOMAIN_OF[node.op_type](x.number)
        multiples = x.multiples if node.op_type in ("Identity", "Dropout") else None
        return [Constants(known, np.where(known, self.function(x.number, node), 0.0), multiples)]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        whole = node.op_type in PARTIAL and bool(ys[0].any()) and not _finite(node)
        first = pattern.uniform(xs[0].rank, True) if whole else ys[0]
        return [first, *(pattern.uniform(x.rank, True) for x in xs[1:])]

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        x, both = xs[0], None if callable(self._activation) else self._activation
        if x is None or self.traits(node, CONTINUOUS, stored).draws:
            return None
        if both is not None and both.low is not None and both.high is not None:
            return max(abs(both.low), abs(both.high))
        factors = _FACTORS.get(node.op_type)
        return None if factors is None else x * most((1.0, abs(float(node.attr("alpha", factors)))))

    def scaling(self, node: OpNode, position: int) -> Scaling | None:
        power = _POWERS.get(node.op_type)
        return None if power is None or "float" not in (node.x_dtype or "") else Scaling(power)

    def trend(self, node: OpNode) -> Trend | None:
        return trend_of(node)

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        if node.op_type not in _FROM_ZERO:
            return xs[0] if self.function is _same else None
        if "int" in (node.y_dtype or "") and node.op_type == "Abs":
            return None  # the lowest whole number has no counterpart
        x = max(0.0, xs[0] or 0.0)
        return {"Exp": 0.0, "Sqrt": math.sqrt(x)}.get(node.op_type, x)

    def affine(self, node: OpNode) -> Affine | None:
        if self.function is not _same:
            return None
        rank = len(node.y_shape())
        return Affine({0: np.ones((1,) * rank)}, np.zeros((1,) * rank))


_FLOATS = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")


def _target(node: Node) -> str:
    """ONNX's name of the element type that a Cast gives."""
    return element_type(node.attr("to", 0))


def _finite(node: OpNode) -> bool:
    """Whether no operand gives NaN or infinity, since none is negative, or as good as 0."""
    least, lowest = {"Sqrt": 0.0, "Reciprocal": LEAST_DIVISOR}.get(node.op_type), (*node.lowest, None)[0]
    return least is not None and lowest is not None and lowest >= least


class IdentityRule(Unary):
    """Identity: what goes in comes out."""

    def listed(self, node: Node, items: tuple[T, ...], numbers: Sequence[Array]) -> tuple[T, ...] | None:
        return items


class CastRule(IdentityRule):
    """Cast: exact between floats; to whole numbers the fraction goes, towards zero."""

    def listed(self, node: Node, items: tuple[T, ...], numbers: Sequence[Array]) -> tuple[T, ...] | None:
        return items if _target(node) in ("INT32", "INT64") else None  # other types have no room for every length

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        return stated if _target(node) in _FLOATS else replace(stated, jumps=True, passes_geometry=True)

    def unsupported(self, node: OpNode) -> str | None:
        return "a cast to text" if _target(node.node) == "STRING" else None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        x, to = xs[0], _target(node.node)
        number = x.number
        if to == "BOOL":
            return [Constants(x.known, (number != 0).astype(np.float64))]
        if to in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"):
            lowest = 0 if to.startswith("U") else -100
            known = x.known & (np.trunc(number) >= lowest) & (number < 100)  # nothing that could wrap around
            return [Constants(known, np.where(known, np.trunc(number), 0.0))]
        if to not in _FLOATS:
            return [Constants.unknown(x.rank)]  # formats that round in their own ways
        return [Constants(x.known, number.astype(np.float16).astype(np.float64) if to == "FLOAT16" else number)]

    def lowest(self, node: OpNode, xs: Sequence[float | None]) -> float | None:
        return xs[0] if _target(node.node) in ("FLOAT", "DOUBLE") else None

    def scaling(self, node: OpNode, position: int) -> Scaling | None:
        """Between floats."""
        floats = _target(node.node) in _FLOATS and "float" in (node.x_dtype or "")
        return Scaling(1) if floats else None

    def affine(self, node: OpNode) -> Affine | None:
        """To a float, and from whole numbers to wide ones; all else cuts fractions off or wraps around."""
        wraps = node.x_dtype == "uint64"  # half of these numbers are beyond the largest of any other type
        widened = _target(node.node) in ("INT32", "INT64") and "int" in (node.x_dtype or "") and not wraps
        return super().affine(node) if widened or _target(node.node) in _FLOATS else None


def _is_false(array: Array | None) -> bool:
    return array is not None and not bool(np.any(array))


for _name, (_function, _activation) in ACTIVATIONS.items():
    register(Unary(_function, _activation), _name, traits=_TRAITS.get(_name))
for _name, _function in {**TOTAL, **PARTIAL}.items():
    _rule = {"Cast": CastRule, "Identity": IdentityRule}.get(_name, Unary)
    register(_rule(_function), _name, traits=_TRAITS.get(_name))
register(Unary(_quick_gelu, SMOOTH), "QuickGelu", domain=CONTRIB)
register(Unary(exact_gelu, SMOOTH), "Gelu", domain=CONTRIB, traits=_ARITHMETIC)
