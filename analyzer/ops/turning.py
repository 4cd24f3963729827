"""Where elementwise functions of one value rise, fall and turn, and by how much onnxruntime is off in computing them.

What it is off by was measured over all of their range; it is doubled where bounds are made of it.
"""

from __future__ import annotations

import numpy as np

from analyzer.ops.node import OpNode
from analyzer.ops.trend import EXACT, LEAST_NORM, SLACK, UNIT, Curvature, Ends, Trend


def _turning(place: float, steepest: float, curve: Curvature, bends: tuple[float, ...] = ()) -> Trend:
    """Of x times a function that is off by a slack at most."""
    return Trend(
        Ends.TURNING,
        turns=(place,),
        scaled=2 * SLACK,
        absolute=2 * SLACK,
        steepest=steepest,
        bends=bends,
        curvature=curve,
    )


def _smooth(
    curve: Curvature, steepest: float, low: float = -np.inf, high: float = np.inf, relative: float = 0.0
) -> Trend:
    """Of one that never falls."""
    return Trend(relative=relative, absolute=SLACK, low=low, high=high, steepest=steepest, bends=(), curvature=curve)


_BELL = Curvature(0.798, 4.0, 1.3e-4)  # of both forms of Gelu
_ABOUT_ONE = 1 + 2 * SLACK  # what comes out of onnxruntime's tanh and logistic function passes 1 by a last digit
_TRENDS: dict[str, Trend] = {
    "Relu": Trend(low=0.0, bends=(0.0,), steepest=1.0),
    "Sign": Trend(low=-1.0, high=1.0),
    "Sigmoid": _smooth(Curvature(0.0963, 8.0, 3.4e-4), 0.251, -SLACK, _ABOUT_ONE),
    "Tanh": _smooth(Curvature(0.77, 4.0, 6.8e-4), 1.0, -_ABOUT_ONE, _ABOUT_ONE),
    "Softsign": Trend(absolute=SLACK, low=-_ABOUT_ONE, high=_ABOUT_ONE, steepest=1.0),
    "Erf": _smooth(Curvature(0.97, 2.5, 4.2e-4), 1.13, -_ABOUT_ONE, _ABOUT_ONE),
    "Softplus": _smooth(Curvature(0.2501, 8.0, 3.4e-4), 1.0, 0.0, relative=SLACK),
    "Gelu": _turning(-0.7517915, 1.13, _BELL),
    "HardSwish": _turning(-1.5, 1.51, Curvature(0.3334, 3.0), (-3.0, 3.0)),
    "Mish": _turning(-1.1924312, 1.09, Curvature(0.645, 10.0, 4.6e-4)),
    "Abs": Trend(Ends.EVEN, low=0.0, bends=(0.0,), steepest=1.0),
    **dict.fromkeys(("Floor", "Ceil", "Round"), EXACT),
    "Neg": Trend(falls=(0,), bends=(), steepest=1.0),
    **dict.fromkeys(("Sin", "Cos"), Trend(Ends.ANYWHERE, low=-_ABOUT_ONE, high=_ABOUT_ONE)),
    "Atan": Trend(absolute=SLACK, low=-2.0, high=2.0, steepest=1.0),
    "Sqrt": Trend(within=(0.0, np.inf), relative=UNIT, low=0.0),
    "Log": Trend(within=(0.0, np.inf), relative=SLACK, absolute=SLACK),
    "Exp": Trend(relative=SLACK, absolute=LEAST_NORM**2, low=0.0),
    "Reciprocal": Trend(Ends.CORNERS, divisor=0, relative=UNIT),
    "Sinh": Trend(relative=4 * SLACK, absolute=SLACK),
    "Cosh": Trend(Ends.EVEN, relative=4 * SLACK, low=0.0),
}


def _bent(n: OpNode) -> Trend | None:
    """Of activations that a number shapes."""
    alpha = float(
        n.attr("alpha", {"Selu": 1.6732632423543772, "LeakyRelu": 0.01, "HardSigmoid": 0.2}.get(n.op_type, 1))
    )
    if n.op_type == "LeakyRelu":
        steepest = max(1.0, abs(alpha) * (1 + UNIT))
        return Trend(Ends.TURNING, turns=(0.0,), relative=UNIT, bends=(0.0,), steepest=steepest)
    if n.op_type == "HardSigmoid":
        beta = float(n.attr("beta", 0.5))
        off, bends = SLACK * (1 + abs(beta)), (-beta / alpha, (1 - beta) / alpha) if alpha else ()
        return (
            Trend(scaled=alpha * SLACK, absolute=off, low=0.0, high=1.0, steepest=alpha, bends=bends)
            if alpha >= 0
            else None
        )
    if n.op_type == "ThresholdedRelu":
        return Trend(low=0.0) if alpha >= 0 else None
    if n.op_type in ("Swish", "QuickGelu"):
        alpha = float(n.attr("alpha", 1.702 if n.op_type == "QuickGelu" else 1.0))
        return (
            _turning(-1.2784645 / alpha, 1.1, Curvature(0.5001 * alpha, 10 / alpha, 4.6e-4 / alpha))
            if alpha > 0
            else None
        )
    gamma = float(n.attr("gamma", 1.0507009873554805)) if n.op_type == "Selu" else 1.0
    size = gamma * alpha * (1 + 2 * SLACK)
    if alpha <= 0 or gamma <= 0:
        return None
    scale = alpha if n.op_type == "Celu" else 1.0  # of the number of which e is raised to the power
    steepest = gamma * max(1.0, alpha / scale) * (1 + UNIT)
    curve = Curvature(size / scale**2, 8.0 * scale, 3.4e-4 * size)
    return Trend(relative=SLACK, absolute=size * SLACK, low=-size, steepest=steepest, bends=(0.0,), curvature=curve)


_BENT = ("LeakyRelu", "HardSigmoid", "ThresholdedRelu", "Swish", "QuickGelu", "Elu", "Selu", "Celu")


def trend_of(node: OpNode) -> Trend | None:
    """Of a call of one of these functions."""
    if node.op_type == "Gelu" and node.attr("approximate", "none") == "tanh":
        return _turning(-0.7524614, 1.13, _BELL)
    return _bent(node) if node.op_type in _BENT else _TRENDS.get(node.op_type)
