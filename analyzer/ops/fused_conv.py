"""FusedConv (com.microsoft): a convolution with its activation, as onnxruntime writes it when it optimises.

X, W, B, Y as in Conv; Z, a summand before the activation, makes it a barrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.facts.units import Kind
from analyzer.ops.conv import ConvRule
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Activation, register
from analyzer.ops.unary import ACTIVATIONS

#: Activations whose parameters `fused_activation` reads; others would be evaluated with defaults.
FUSED = frozenset(("", "Relu", "Tanh", "Sigmoid", "Softplus", "Softsign", "LeakyRelu", "HardSigmoid", "Clip"))


class FusedConvRule(ConvRule):
    """com.microsoft FusedConv: a convolution and its activation; with a summand Z it is a barrier."""

    def unsupported(self, node: OpNode) -> str | None:
        if node.has(3):
            return "FusedConv with a summand"
        if self._activation(node) not in FUSED:
            return f"FusedConv with activation {self._activation(node)}"
        return super().unsupported(node)

    def activation(self, node: OpNode) -> Activation | None:
        return activation_of(self._activation(node), node.attr("activation_params") or [], node)

    def finish(self, node: OpNode, total: Array) -> Array:
        return fused_activation(self._activation(node), node.attr("activation_params") or [], total, node)

    def fills(self, node: OpNode) -> bool:
        return self._activation(node) in ("", "Relu", "Clip")  # what comes out of these goes through unchanged

    @staticmethod
    def _activation(node: OpNode) -> str:
        return str(node.attr("activation", ""))


def activation_of(name: str, parameters: Sequence[float], node: OpNode) -> Activation | None:
    """How the output is audited with this activation fused in."""
    if name == "Clip":
        low, high = (*parameters, None, None)[:2]
        return Activation(Kind.RECTIFIER, low, high, enters=None, fused=name)
    known = ACTIVATIONS.get(name, (None, None))[1]
    known = known(node) if callable(known) else known
    return known and replace(known, enters=None, fused=name)


def fused_activation(name: str, parameters: Sequence[float], x: Array, node: OpNode) -> Array:
    """The activation that onnxruntime fuses into an operator; its parameters stand in a list."""
    if not name:
        return x
    if name == "Clip":
        low, high = (*parameters, -np.inf, np.inf)[:2]
        return np.clip(x, low, high)
    if name == "LeakyRelu":
        return np.where(x >= 0, x, (parameters[0] if parameters else 0.01) * x)
    if name == "HardSigmoid":
        alpha, beta = parameters if len(parameters) == 2 else (0.2, 0.5)
        return np.clip(alpha * x + beta, 0, 1)
    return ACTIVATIONS[name][0](x, node)


register(FusedConvRule(), "FusedConv", domain=CONTRIB)
