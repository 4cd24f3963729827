"""How exporters write activations and normalisations as several nodes: an expression per way, for `units.expressions`.

Capitals are operators, small letters are values (the same letter, the same value), `#c` is a stored number that the
activation may ask for, and `|` separates ways to write the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analyzer.facts.units import Kind
from analyzer.ops.operator import Activation

#: Operands that older operator sets write as attributes, by position.
ATTRIBUTES = {"Clip": ("", "min", "max")}
COMMUTATIVE = frozenset(("Add", "Mul", "Max", "Min"))


@dataclass(frozen=True, slots=True)
class Form:
    """An activation, how it is written, and how it is audited, which may depend on the numbers in it.

    `x` is what enters it. `hides`: the values in between are part of it, and not judged on their own.
    """

    name: str
    written: str
    activation: Activation | Callable[[Mapping[str, float]], Activation]
    hides: bool = True


def _floor(numbers: Mapping[str, float]) -> Activation:
    """x where it lies above a threshold, else a number: never below that number, if the threshold is not."""
    low = numbers["c"] if numbers["t"] >= numbers["c"] else None
    return Activation(Kind.RECTIFIER, low)


def _ceiling(numbers: Mapping[str, float]) -> Activation:
    high = numbers["c"] if numbers["t"] <= numbers["c"] else None
    return Activation(Kind.RECTIFIER, None, high)


_SMOOTH = Activation(Kind.SMOOTH)
_SIXTH = 1 / 6
_RELU6 = "Clip(Add(x, 3), 0, 6)"
_HARD = f"Div({_RELU6}, 6) | Mul({_RELU6}, {_SIXTH})"
_BELL = "Add(Erf(d) | Tanh(d), 1)"
_NEGATED = "Relu(Neg(x) | Mul(x, -1))"
_LEFT, _RIGHT = f"{_NEGATED} | Mul({_NEGATED}, a)", "Relu(x) | Mul(Relu(x), b)"
_ABOVE = "Greater(x, #t) | GreaterOrEqual(x, #t) | Less(#t, x) | LessOrEqual(#t, x)"
_BELOW = "Less(x, #t) | LessOrEqual(x, #t) | Greater(#t, x) | GreaterOrEqual(#t, x)"
_YES, _NO = f"{_ABOVE} | Not({_BELOW})", f"{_BELOW} | Not({_ABOVE})"

FORMS = (
    Form("SiLU", "Mul(x, Sigmoid(x | Mul(x, a)))", _SMOOTH),
    Form("HardSwish", "Mul(x, HardSigmoid(x))", _SMOOTH),
    Form("HardSwish", f"Mul(x, {_HARD}) | Div(Mul(x, {_RELU6}), 6) | Mul(Mul(x, {_RELU6}), {_SIXTH})", _SMOOTH),
    Form("HardSigmoid", _HARD, Activation(Kind.RECTIFIER, 0.0, 1.0, bends=(-3.0, 3.0))),
    Form("Mish", "Mul(x, Tanh(Softplus(x)))", _SMOOTH),
    Form("Gelu", f"Mul(Mul(x, {_BELL}), #c) | Mul(x, Mul({_BELL}, #c)) | Mul(Mul(x, #c), {_BELL})", _SMOOTH),
    Form("Gelu", f"Mul(x, {_BELL})", _SMOOTH),
    Form("LeakyRelu", f"Sub({_RIGHT}, {_LEFT}) | Sub({_LEFT}, {_RIGHT}) | Add({_RIGHT}, {_LEFT})", _SMOOTH),
    Form("LeakyRelu", "Max(x, Mul(x, a))", _SMOOTH),
    Form("Where", f"Where({_YES}, x, #c) | Where({_NO}, #c, x)", _floor, hides=False),
    Form("Where", f"Where({_NO}, x, #c) | Where({_YES}, #c, x)", _ceiling, hides=False),
)

_SQUARE = "Add(ReduceMean(Pow(d, 2) | Mul(d, d)), #e)"
_ROOT = f"Sqrt({_SQUARE})"
#: A value over the root of its mean square, and a value without its mean: together a layer normalisation.
NORMALISED = f"Div(d, {_ROOT}) | Mul(d, Reciprocal({_ROOT}) | Div(1, {_ROOT}) | Pow({_SQUARE}, -0.5))"
CENTRED = "Sub(x, ReduceMean(x))"
#: What ONNX calls a normalisation, by whether it is centred.
NORMALISATIONS = {True: "LayerNormalization", False: "RMSNormalization"}
