"""LSTM, GRU, RNN: barriers for now; they only say where their hidden units lie and what they cost.

X [time, batch, in]  Y [time, directions, batch, hidden]  Y_h, Y_c [directions, batch, hidden].
"""

from __future__ import annotations

from analyzer.ops.axes import Axes
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.node import OpNode
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import SUMMING

_TIME_FIRST = Axes(
    "X: t b i, W: d m i, R: d m h, B: d q, lengths: b, h0: d b h, c0: d b h, P: d p"
    " -> Y: t d b h, Y_h: d b h, Y_c: d b h",
    whole="t d i h m q p",
    made="h",
    loops="t b d m i | t b d m h",
)


class Recurrent(Operator):
    """Everything is needed and stays: a hidden unit feeds itself."""

    stated = SUMMING
    opaque = "a recurrent layer, for which there is no rule yet"

    def axes(self, node: OpNode) -> Correspondence:
        return super().axes(node) if node.attr("layout", 0) else _TIME_FIRST(node)


register(Recurrent(), "LSTM", "GRU", "RNN")
