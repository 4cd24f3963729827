"""ConvTranspose: each input channel is spread over the output channels of its group.

X [batch, in, *space]  W [in, out/group, *kernel]  B [out]  Y [batch, out, *space'];  unit = channel, axis 1.
"""

from __future__ import annotations

from analyzer.algebra.pattern import Array
from analyzer.ops.conv import ConvRule
from analyzer.ops.node import OpNode
from analyzer.ops.operator import register


class ConvTransposeRule(ConvRule):
    """A constant map gives a constant map only for 1x1 kernels without stride."""

    def blocks(self, kernel: Array, groups: int) -> Array:
        return super().blocks(kernel, groups).swapaxes(1, 2)

    def stored(self, blocks: Array) -> Array:
        return super().stored(blocks.swapaxes(1, 2))

    def flat_border(self, node: OpNode) -> bool:
        single = all(k == 1 for k in self.kernel(node).shape[2:])
        plain = all(s == 1 for s in node.attr("strides") or [])
        padded = any(node.attr("pads") or []) or any(node.attr("output_padding") or []) or node.attr("output_shape")
        return single and plain and not padded

    def out_axis(self) -> int:
        return 1


register(ConvTransposeRule(), "ConvTranspose")
