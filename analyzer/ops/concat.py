"""Concat: Y holds its inputs one after another along an axis; the other axes are shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored, most, operands
from analyzer.ops.move import MOVED, Moved, Take
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import Operator, register
from analyzer.ops.traits import EVERY
from analyzer.ops.trend import EXACT, SELECTS, Trend


class ConcatRule(Operator):
    """Joining: facts stand side by side; an index of Y is an index of exactly one input."""

    moves = True
    takes_empty = True

    def axis(self, node: OpNode) -> int:
        """The joined axis."""
        return int(node.attr("axis", 1)) % len(node.y_shape())

    def lengths(self, node: OpNode) -> list[int]:
        """Length of every input along the joined axis."""
        return [node.x_shape(i)[self.axis(node)] for i in range(len(node.inputs))]

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        axis, lengths = self.axis(node), self.lengths(node)
        grows = any(not length and axis in free for length, free in zip(lengths, node.in_free, strict=False))
        if grows or not any(x.any for x in xs):  # in the next feed there may be something in front
            return [Constants.unknown(xs[0].rank)]
        known = pattern.concatenate([x.known for x in xs], axis, lengths)
        value = pattern.concatenate([x.number for x in xs], axis, lengths)
        return [Constants(known, value)]

    def places(self, node: OpNode, position: int, axis: int, output: int = 0) -> Array | None:
        if axis != self.axis(node):
            return None
        parts = [np.full(length, -1) for length in self.lengths(node)]
        parts[position] = np.arange(len(parts[position]))
        return pattern.on_axis(np.concatenate(parts), axis, len(node.y_shape()))

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        axis, lengths = self.axis(node), self.lengths(node)
        if ys[0].shape[axis] == 1:
            return [ys[0] for _ in xs]
        return np.split(ys[0], np.cumsum(lengths)[:-1], axis)

    def axes(self, node: OpNode) -> Correspondence:
        axis, start, chains = self.axis(node), 0, []
        for position, length in enumerate(self.lengths(node)):
            part = Take(axis, np.arange(start, start + length), node.y_shape()[axis])
            chains.append(((part,), node.inputs[position], node.x_shape(position)))
            start += length
        y = node.outputs[0]
        return Moved(outputs=(y,), source=y, shape=node.y_shape(), chains=tuple(chains), all_reach=True)

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Inputs of which nothing stays go."""
        joined = self.axis(node)
        lost = [not cut.keeps.get((name, joined)).any() for name in node.inputs]
        return Edit(drop_inputs=tuple(p for p, gone in enumerate(lost) if gone and node.x_shape(p)[joined]))

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        parts = operands(xs, stored)
        return None if parts is None else most(parts)

    def trend(self, node: OpNode) -> Trend | None:
        return SELECTS if all(array is None for array in node.statics) else EXACT


register(ConcatRule(), "Concat", traits=replace(MOVED, carries_nan=EVERY, carries_infinity=EVERY, joins=True))
