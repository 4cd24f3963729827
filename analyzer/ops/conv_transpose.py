"""ConvTranspose: each input channel is spread over the output channels of its group.

X [batch, in, *space]  W [in, out/group, *kernel]  B [out]  Y [batch, out, *space'];  unit = channel, axis 1.
"""

from __future__ import annotations

import numpy as np

from analyzer.algebra.pattern import Array, Mask
from analyzer.ops.conv import ConvRule
from analyzer.ops.node import OpNode
from analyzer.ops.operator import register


class ConvTransposeRule(ConvRule):
    """A constant map gives a constant map only for 1x1 kernels without stride."""

    def _taps(self, node: OpNode) -> tuple[Mask, Array]:
        kernel, groups = self.kernel(node), self.groups(node)
        flat = np.asarray(kernel).reshape(groups, kernel.shape[0] // groups, kernel.shape[1], -1)
        return (flat != 0).any(axis=3).swapaxes(1, 2), flat.sum(axis=3, dtype=np.float64).swapaxes(1, 2)

    def rows(self, node: OpNode) -> Array:
        parts = np.split(super().rows(node), self.groups(node))
        return np.concatenate([part.swapaxes(0, 1) for part in parts])

    def flat_border(self, node: OpNode) -> bool:
        single = all(k == 1 for k in self.kernel(node).shape[2:])
        plain = all(s == 1 for s in node.attr("strides") or [])
        padded = any(node.attr("pads") or []) or any(node.attr("output_padding") or []) or node.attr("output_shape")
        return single and plain and not padded

    def kernel_mask(self, node: OpNode, used: Mask) -> Mask:
        rank = len(node.x_shape(self.w))
        swapped = used.swapaxes(1, 2)
        return swapped.reshape(-1, swapped.shape[2], *(1,) * (rank - 2))

    def out_axis(self) -> int:
        return 1

    def _add_taps(self, kernel: Array, gone: Array, carrier: int, ratio: Array, groups: int) -> None:
        kernel[carrier] += np.tensordot(ratio, kernel[gone], axes=(0, 0))

    def _with_zero_outputs(self, kernel: Array, fill: Mask, groups: int) -> Array:
        shape = kernel.shape
        kernel = kernel.reshape(groups, -1, *shape[1:]).copy()
        for group, mask in enumerate(fill.reshape(groups, -1)):
            kernel[group][:, mask] = 0
        return kernel.reshape(shape)


register(ConvTransposeRule(), "ConvTranspose")
