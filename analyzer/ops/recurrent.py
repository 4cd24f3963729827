"""LSTM, GRU, RNN: barriers for now; they only say where their hidden units lie.

X [time, batch, in]  Y [time, directions, batch, hidden]  Y_h, Y_c [directions, batch, hidden].
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.ops.node import OpNode
from analyzer.ops.operator import Axes, Operator, register


class Recurrent(Operator):
    """Everything is needed and stays: a hidden unit feeds itself."""

    def unit_axes(self, node: OpNode, xs: Sequence[Axes]) -> list[Axes]:
        return [frozenset({len(s) - 1}) if s else None for s in node.out_shapes]


register(Recurrent(), "LSTM", "GRU", "RNN")
