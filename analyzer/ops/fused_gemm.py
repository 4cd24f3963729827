"""FusedGemm (com.microsoft): Y = activation(alpha * A' * B' + beta * C), as onnxruntime writes it when it optimises.

A [m, k] or [k, m]  B [k, n] or [n, k]  C broadcast to [m, n]  Y [m, n];  unit = column of Y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Mask
from analyzer.ops.fused_conv import FUSED, activation_of, fused_activation
from analyzer.ops.gemm import Gemm
from analyzer.ops.node import OpNode
from analyzer.ops.operator import CONTRIB, Activation, register

_PARAMETERS = ("activation_alpha", "activation_beta")


class FusedGemm(Gemm):
    """A Gemm whose constant sums go through the activation; constants are absorbed before it."""

    axes_hold = True

    def unsupported(self, node: OpNode) -> str | None:
        """Activations we cannot evaluate make it a barrier."""
        name = activation_name(node)
        if node.has(2) and node.static(2) is None:
            return "a summand computed at run time, in front of the activation"
        half = name == "HardSigmoid" and node.attr("activation_beta") is None
        return None if name in FUSED - {"Clip"} and not half else f"FusedGemm with activation {name}"

    def activation(self, node: OpNode) -> Activation | None:
        """How the output is audited."""
        return activation_of(activation_name(node), (), node)

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        """The sum's constants, through the activation."""
        total = super().constants(node, xs)[0]
        given = [float(node.attr(p)) for p in _PARAMETERS if node.attr(p) is not None]
        value = fused_activation(activation_name(node), given, total.number, node)
        return [Constants(total.known, np.where(total.known, value, 0.0))]

    def fillable(self, node: OpNode, known: Mask) -> Mask:
        """A bias alone does not give a wanted output: the activation follows."""
        return np.zeros_like(known)


def activation_name(node: OpNode) -> str:
    """The fused activation, empty when there is none."""
    return str(node.attr("activation", ""))


register(FusedGemm(), "FusedGemm", domain=CONTRIB)
