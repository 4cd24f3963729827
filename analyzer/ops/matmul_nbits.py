"""MatMulNBits (com.microsoft): Y = A * W' + bias, where W [N, K] is stored in `bits` bits per number, by blocks of K.

A [*m, K]  B [N, blocks, bytes of a block]  scales [N, blocks]  zero points [N, blocks], bias [N]  Y [*m, N]

W = (q - zero point) * scale; the first numbers stand in the lowest bits. Zero points are numbers of A's type, or packed
as q is, along the blocks; half of the range where there are none. Older files store scales and zero points flat.
Columns of Y go one by one, those of A by whole blocks, as a block has one scale; of the last block, which need not be
full, one by one, and what stays of it is packed anew (unless A is rounded: then by whole blocks, too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.pattern import Array, Mask, Shape
from analyzer.graph import Node
from analyzer.graph.deferred import Deferred, made
from analyzer.ops.axes import Axes, row
from analyzer.ops.contraction import Contraction, MatMul
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array
from analyzer.ops.operator import CONTRIB, register
from analyzer.ops.product_letters import Letters
from analyzer.ops.traits import Traits
from analyzer.ops.weighted_sum import WeightedSum

_SCALES, _ZEROS, _ORDER = 2, 3, 4


class MatMulNBits(Contraction):
    """A product with a stored matrix, computed with the numbers that its bits stand for."""

    bias = 5

    def unsupported(self, node: OpNode) -> str | None:
        packed = [node.static(p) for p in (self.b, _SCALES, _ZEROS) if node.has(p)]
        if any(array is None for array in packed) or node.static(self.a) is not None:
            return "a product of other than a computed and a stored operand"
        if node.has(_ORDER) or node.attr("weight_prepacked", 0) or _bits(node.node) not in (2, 4, 8):
            return "numbers in another order, or of another width"
        count, size = self._blocks(node)
        fits = node.x_shape(self.b) == (node.y_shape()[-1], count, size * _bits(node.node) // 8)
        return None if fits else "packed numbers of another shape"

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        return replace(stated, jumps=True, carries_nan=(), carries_infinity=()) if _rounds(node) else stated

    def letters(self, node: OpNode) -> Letters:
        outer = tuple(range(3, 2 + len(node.x_shape(self.a))))
        return Letters((*outer, 1), (2, 1), (*outer, 2))

    def axes(self, node: OpNode) -> Correspondence:
        """A is blocks `g` of places `s`, then the last block `u` with its places `t`.

        What lies flat, or several blocks to a byte, is cut by `shrink` alone. Where A is rounded, kernels sum a block
        that is not full in another way, and what the next product makes of the last digit is another step.
        """
        (count, size), rank = self._blocks(node), len(node.x_shape(self.a))
        last = node.x_shape(self.a)[-1] - (count - 1) * size
        places, blocks = ("g s + u t", "g + u") if count > 1 else ("u t", "u")

        def parameter(position: int) -> str:
            return f"p: n ({blocks})" if node.has(position) and self._has_entries(node, position) else "_"

        outer = " ".join(row("m", rank - 1))
        return Axes(
            f"A: {outer} ({places}), B: n ({blocks}) bytes, {parameter(_SCALES)}, {parameter(_ZEROS)}, _, bias: n "
            f"-> Y: {outer} n",
            whole="s t bytes" if _rounds(node.node) else "s bytes",
            one="g u t",
            made="n",
            loops=f"{outer} n +0.{rank - 1}" if count > 1 else f"{outer} n t",
            given={"g": count - 1, "s": size, "u": 1, "t": last},
            alone="g u",
        )(node)

    def operand(self, node: OpNode, xs: Sequence[Constants], position: int) -> Constants:
        """What enters the products; of values that are rounded on the way, only zeros stay what they are."""
        if position == self.b:
            return Constants.exactly(self.numbers(node, position))
        x = xs[position]
        return Constants(x.zero, np.zeros((1,) * x.rank)) if _rounds(node.node) else x

    def can_add_bias(self, node: OpNode) -> bool:
        return True

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        """As a product with the numbers themselves; where A is rounded, a block's largest element sets its steps."""
        result, size = super().needs(node, ys, xs, yc), self._blocks(node)[1]
        if _rounds(node.node) and result[self.a].shape[-1] > 1:
            starts = np.arange(0, result[self.a].shape[-1], size)
            blocks = np.logical_or.reduceat(result[self.a], starts, axis=-1).repeat(size, axis=-1)
            result[self.a] = blocks[..., : result[self.a].shape[-1]] & ~xs[self.a].zero
        weights = np.broadcast_to(result[self.b], self.numbers(node, self.b).shape)
        blocks = np.logical_or.reduceat(weights, np.arange(0, weights.shape[1], size), axis=1)
        result[self.b] = pattern.compress(blocks[..., np.newaxis])
        for position in (_SCALES, _ZEROS):
            if node.has(position):
                result[position] = _per_block(blocks, node.x_shape(position), _bits(node.node))
        return result

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        total = super().weighted_sum(node)
        if total is None or not _rounds(node.node):
            return total and replace(total, stored_axis=None)
        return replace(total, stored_axis=None, dequantised=None, absorbs=False)

    def numbers(self, node: OpNode, position: int) -> Array:
        """The numbers that the bits stand for, [N, K]."""
        if "weights" not in node.memo:
            packed, scales, bits = _stored(node, self.b), self._entries(node, _SCALES), _bits(node.node)
            points = self._entries(node, _ZEROS) if node.has(_ZEROS) else np.full((), 2 ** (bits - 1))
            steps = _unpacked(packed, bits).astype(scales.dtype) - points[..., np.newaxis].astype(scales.dtype)
            weights = (steps * scales[..., np.newaxis]).reshape(len(packed), -1)
            node.memo["weights"] = weights[:, : node.x_shape(self.a)[-1]]
        return np.asarray(node.memo["weights"])

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """The attributes spell both lengths out, the bias is one number per column, and bytes are packed anew."""
        edit = super().shrink(node, cut)
        columns, places = (cut.keeps.vectors(name)[-1] for name in (node.outputs[0], node.inputs[self.a]))
        (count, size), bits = self._blocks(node), _bits(node.node)
        if self.bias in edit.inputs:
            edit.inputs[self.bias] = np.resize(made(edit.inputs[self.bias]), columns.sum())
        lengths = {"K": int(places.sum()), "N": int(columns.sum())}
        edit.attributes |= {name: length for name, length in lengths.items() if length != node.attr(name)}
        last = places[(count - 1) * size :]
        if last.any() and not last.all():
            stored = edit.inputs.get(self.b, cut_array(_stored(node, self.b), cut.keeps.vectors(node.inputs[self.b])))
            packed = made(stored).copy()
            numbers = _unpacked(packed[:, -1], bits)[:, : len(last)].compress(last, axis=1)
            packed[:, -1] = _packed(numbers, bits, size)
            edit.inputs[self.b] = packed
        blocks = np.logical_or.reduceat(places, np.arange(0, len(places), size))
        for position in (_SCALES, _ZEROS):
            if node.has(position) and not self._has_entries(node, position) and not (columns.all() and blocks.all()):
                entries = self._entries(node, position)[columns][:, blocks]
                again = _packed(entries, bits) if _stored(node, position).dtype == np.uint8 else entries
                edit.inputs[position] = again.reshape(-1) if len(node.x_shape(position)) == 1 else again
        return edit

    def in_order(self, node: OpNode, blocks: Array) -> dict[int, Array]:
        """The last block stays the last if it is not full; where A is rounded, all stay where they are."""
        (count, size), bits = self._blocks(node), _bits(node.node)
        if (
            _rounds(node.node)
            or len(blocks) != count
            or (node.x_shape(self.a)[-1] != count * size and blocks[-1] != count - 1)
        ):
            return {}
        moved = {self.b: _stored(node, self.b)[:, blocks]}
        for position in filter(node.has, (_SCALES, _ZEROS)):
            array = _stored(node, position)
            entries = self._entries(node, position)[:, blocks]
            moved[position] = (_packed(entries, bits) if array.dtype == np.uint8 else entries).reshape(array.shape)
        return moved

    def bias_holds(self, node: OpNode, delta: Array) -> bool:
        return super().bias_holds(node, delta) and max(delta.shape[:-1], default=1) == 1

    def cleared(self, node: OpNode, cut: Cut, position: int, columns: Mask) -> dict[int, Array | Deferred]:
        """A scale of zero clears a block."""
        scales = np.asarray(node.static(_SCALES))
        rows = np.broadcast_to(columns.any(axis=1, keepdims=True), (len(self.numbers(node, position)), 1))
        scales = np.where(rows, 0, scales.reshape(len(rows), -1)).astype(scales.dtype).reshape(scales.shape)
        return {_SCALES: cut_array(scales, cut.keeps.vectors(node.inputs[_SCALES]))}

    def _blocks(self, node: OpNode) -> tuple[int, int]:
        """How many, and how many numbers in each."""
        size = int(node.attr("block_size", 0))
        return -(-node.x_shape(self.a)[-1] // size), size

    def _has_entries(self, node: OpNode, position: int) -> bool:
        """Whether scales or zero points have an axis of columns and one of blocks."""
        return node.x_shape(position) == (node.y_shape()[-1], self._blocks(node)[0])

    def _entries(self, node: OpNode, position: int) -> Array:
        """Scales or zero points, [N, blocks]."""
        stored, (count, _) = _stored(node, position).reshape(node.y_shape()[-1], -1), self._blocks(node)
        return _unpacked(stored, _bits(node.node))[:, :count] if stored.dtype == np.uint8 else stored


def _bits(node: Node) -> int:
    return int(node.attr("bits", 4))


def _rounds(node: Node) -> bool:
    """Whether A is rounded on the way: to whole numbers at level 4, each block of it in steps of its own."""
    return int(node.attr("accuracy_level", 0)) > 1


def _unpacked(packed: Array, bits: int) -> Array:
    """Numbers of so many bits, the lowest bits first, one after another along the last axis."""
    numbers = (packed[..., np.newaxis] >> np.arange(0, 8, bits, dtype=np.uint8)) & (2**bits - 1)
    return np.asarray(numbers.reshape(*packed.shape[:-1], -1))


def _packed(numbers: Array, bits: int, length: int = 0) -> Array:
    """The same the other way round, filled up with zeros to so many numbers, or to whole bytes."""
    each = 8 // bits
    missing = max(length - numbers.shape[-1], -numbers.shape[-1] % each)
    filled = np.pad(numbers.astype(np.uint8), ((0, 0), (0, missing))).reshape(len(numbers), -1, each)
    return np.asarray(np.bitwise_or.reduce(filled << np.arange(0, 8, bits, dtype=np.uint8), axis=-1))


def _stored(node: OpNode, position: int) -> Array:
    array = node.static(position)
    assert array is not None  # `unsupported` says so
    return array


def _per_block(blocks: Mask, shape: Shape, bits: int) -> Mask:
    """A mask [N, blocks] for a parameter: one per block, or packed; flat or not."""
    if blocks.size != np.prod(shape):
        blocks = np.logical_or.reduceat(blocks, np.arange(0, blocks.shape[1], 8 // bits), axis=1)
    return pattern.compress(blocks.reshape(shape))


_READ = (0,)
register(
    MatMulNBits(),
    "MatMulNBits",
    domain=CONTRIB,
    traits=replace(
        MatMul.stated, carries_nan=_READ, carries_infinity=_READ, packed=(1, _ZEROS), filled_up=(1, ("N", "K"))
    ),
)
