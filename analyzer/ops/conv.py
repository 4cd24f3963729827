"""Conv: each output channel is a weighted sum of the input channels of its group.

X [batch, in, *space]  W [out, in/group, *kernel]  B [out]  Y [batch, out, *space'];  unit = channel, axis 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import KeepVectors
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph import Node
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored, shifted, weighted_sum
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit, cut_array, removed_constants
from analyzer.ops.operator import Operator, activates, register
from analyzer.ops.pull_back import Tape, window_of
from analyzer.ops.traits import SPATIAL, SUMMING
from analyzer.ops.weighted_sum import WeightedSum


class ConvRule(Operator):
    """Channels are cut whole; kernel taps are summed over; zero padding spoils any constant but zero."""

    lock_reason = "group-balance"
    stated = replace(SUMMING, windows=SPATIAL)
    axes_hold = True
    x, w, bias = 0, 1, 2

    def unsupported(self, node: OpNode) -> str | None:
        given = [self.w, *([self.bias] if node.has(self.bias) else [])]
        stored = all(node.static(position) is not None for position in given)
        return None if stored else "the kernel or the bias is computed at run time"

    def takes_constants(self, node: OpNode) -> bool:
        """Whether constants other than zero can go: into the bias, or onto a carrier."""
        return True

    # -- the kernel, brought to one form ------------------------------------------------------------------------

    def groups(self, node: OpNode) -> int:
        """Number of groups."""
        return int(node.attr("group", 1))

    def kernel(self, node: OpNode) -> Array:
        """The kernel as it enters the products, [out, in/group, *kernel]."""
        weight = node.static(self.w)
        assert weight is not None  # `unsupported` has said so otherwise
        return weight

    def blocks(self, kernel: Array, groups: int) -> Array:
        """A kernel as stored, as [groups, out/g, in/g, *kernel]."""
        return kernel.reshape(groups, -1, *kernel.shape[1:])

    def stored(self, blocks: Array) -> Array:
        """Blocks as a kernel is stored."""
        return blocks.reshape(-1, *blocks.shape[2:])

    def taps(self, node: OpNode) -> Array:
        """The kernel per group, with its positions on one axis: [g, out/g, in/g, taps]."""
        blocks = self.blocks(self.kernel(node), self.groups(node))
        return blocks.reshape(*blocks.shape[:3], -1)

    def reads(self, node: OpNode) -> Mask:
        """Per group: which input channel an output channel reads at all, [g, out/g, in/g]."""
        if "reads" not in node.memo:
            node.memo["reads"] = (self.taps(node) != 0).any(axis=3)
        found: Mask = node.memo["reads"]
        return found

    def sums(self, node: OpNode) -> Array:
        """Per group: the sum of the taps between two channels, [g, out/g, in/g]; slow on large kernels."""
        if "sums" not in node.memo:
            node.memo["sums"] = self.taps(node).sum(axis=3, dtype=np.float64)
        found: Array = node.memo["sums"]
        return found

    def channels(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Per input channel: constant as it enters the products, and the constant."""
        return xs[self.x].per_index(1, node.x_shape(self.x)[1])

    def flat_border(self, node: OpNode) -> bool:
        """Whether a constant map gives a constant map (no zero padding at the border)."""
        pads = node.attr("pads") or []
        same = node.attr("auto_pad", "NOTSET").startswith("SAME") and max(self.kernel(node).shape[2:], default=1) > 1
        return not any(pads) and not same

    def weighted_sum(self, node: OpNode) -> WeightedSum | None:
        return WeightedSum(
            data=self.x,
            weight=self.w,
            bias=self.bias,
            axis=1,
            unit_axis=1,
            dequantised=lambda: self.rows(node),
            added=lambda length: self.added(node, length),
            groups=self.groups(node),
            stored_axis=1 - self.out_axis() if self.groups(node) == 1 else None,
            plain=np.asarray(node.static(self.w)).dtype.kind not in "iu",
            absorbs=self.flat_border(node) and self.takes_constants(node),
            activated=activates(self.activation(node)),
            step=self.step(node),
        )

    def summed_axes(self, node: OpNode, position: int) -> tuple[int, ...]:
        return (1,) if position == self.x else ()

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        """By the convolution the other way round."""
        weight = node.static(self.w)
        if position != self.x or weight is None or node.x_dtype != node.y_dtype:
            return None
        inner, outer = node.x_shape(self.x)[2:], node.y_shape()[2:]
        back, name, groups = self.out_axis() == 0, node.node.inputs[self.w], self.groups(node)
        window = window_of(node, weight.shape[2:], *((inner, outer) if back else (outer, inner)))
        if window is None:
            return None
        if back and window.reflected is not None:  # which onnxruntime does faster
            blocks = self.blocks(weight, groups).swapaxes(1, 2)
            turned = np.flip(blocks, tuple(range(3, blocks.ndim))).reshape(-1, *blocks.shape[2:])
            return tape.add("Conv", rows, tape.number(turned, node.x_dtype), group=groups, **window.reflected)
        if back:
            return tape.add("ConvTranspose", rows, name, group=groups, **window.spread)
        return tape.add("Conv", rows, name, group=groups, **window.plain)

    def rows(self, node: OpNode) -> Array:
        """The kernel as `WeightedSum.rows`."""
        blocks = self.blocks(self.kernel(node), self.groups(node))
        return blocks.reshape(blocks.shape[0] * blocks.shape[1], blocks.shape[2], -1)

    def added(self, node: OpNode, length: int) -> Array | None:
        """The bias per channel; None where it is counted in other units."""
        return node.static(self.bias) if node.has(self.bias) else np.zeros(length)

    def step(self, node: OpNode) -> float | None:
        """What the whole kernel was rounded to."""
        return None

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        known, value = self.channels(node, xs)
        reads = self.reads(node)
        groups = len(reads)
        usable = known & ((value == 0) | self.flat_border(node))
        spoiled = (reads & ~usable.reshape(groups, 1, -1)).any(axis=2).reshape(-1)
        total = np.zeros(len(spoiled))
        if usable.any():  # else what is not spoiled reads nothing
            total = (self.sums(node) @ np.where(usable, value, 0.0).reshape(groups, -1, 1)).reshape(-1)
        total = self.finish(node, total + self.bias_vector(node, xs, len(total)))
        rank = len(node.y_shape())
        return [Constants(pattern.on_axis(~spoiled, 1, rank), pattern.on_axis(np.where(spoiled, 0.0, total), 1, rank))]

    def bias_vector(self, node: OpNode, xs: Sequence[Constants], length: int) -> Array:
        """The bias in double precision, zeros when there is none."""
        if not node.has(self.bias):
            return np.zeros(length)
        return np.broadcast_to(xs[self.bias].number, (length,))

    def finish(self, node: OpNode, total: Array) -> Array:
        """What the operator still does to a constant sum (a fused activation)."""
        return total

    def absorbs(self, node: OpNode, xs: Sequence[Constants]) -> Mask:
        """Input channels the shrunk node can do without: constants, and multiples of one map, by a carrier."""
        known, _ = self.channels(node, xs)
        return known | self.held_multiples(node, xs)[0]

    def held_multiples(self, node: OpNode, xs: Sequence[Constants]) -> tuple[Mask, Array]:
        """Channels that are multiples of one unknown map, and their factors."""
        length, multiples = node.x_shape(self.x)[1], xs[self.x].multiples
        if multiples is None or not self.takes_constants(node):
            return np.zeros(length, np.bool_), np.zeros(length)
        held = pattern.per_index(multiples.held, 1, length, every=True)
        others = tuple(a for a in range(multiples.factor.ndim) if a != 1)
        low, high = multiples.factor.min(axis=others), multiples.factor.max(axis=others)
        return held & (low == high), np.broadcast_to(high, (length,))

    def fills(self, node: OpNode) -> bool:
        """Whether a bias alone can give any constant that an output channel was seen to have."""
        return True

    def reading(self, node: OpNode, ys: Sequence[Mask], yc: Sequence[Constants]) -> tuple[Mask, Mask]:
        """Output channels that must be computed, [out], and the kernel entries they read, [g, out/g, in/g]."""
        out = node.y_shape()[1]
        asked = pattern.per_index(ys[0], 1, out, every=False)
        if self.fills(node):
            asked = asked & ~pattern.per_index(yc[0].known, 1, out, every=True)
        reads = self.reads(node)
        return asked, reads & asked.reshape(len(reads), -1, 1)

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        asked, read = self.reading(node, ys, yc)
        wanted = read.any(axis=1).reshape(-1) & ~self.absorbs(node, xs)
        result = [pattern.uniform(x.rank, True) for x in xs]
        result[self.x] = pattern.on_axis(wanted, 1, xs[self.x].rank)
        kernel = read & wanted.reshape(len(read), 1, -1)
        result[self.w] = self.kernel_mask(node, kernel)
        for position in range(len(xs)):  # the bias; scales and zero points per channel in quantised forms
            if position not in (self.x, self.w) and node.has(position) and node.x_shape(position) == asked.shape:
                result[position] = pattern.per_index(ys[0], 1, len(asked), every=False)
        return result

    def kernel_mask(self, node: OpNode, used: Mask) -> Mask:
        """A mask [g, out/g, in/g] as a pattern of the stored kernel."""
        return self.stored(used.reshape(*used.shape, *(1,) * (len(node.x_shape(self.w)) - 2)))

    def carried(self, node: OpNode, xs: Sequence[Constants]) -> list[tuple[Mask, Array]]:
        """Channels of which one can stand in for all, and their factors: constants that zero padding keeps out of the
        bias, and multiples of one map; zero times the map is zero, and needs no carrier."""
        known, value = self.channels(node, xs)
        held, factor = self.held_multiples(node, xs)
        padded = known & (value != 0) if not self.flat_border(node) else np.zeros_like(known)
        return [(padded, value), (held & (factor != 0), factor)]

    def carry(
        self, node: OpNode, keeps: KeepVectors, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]
    ) -> list[tuple[str, int, int]]:
        """One channel per group stays for all that it can stand in for."""
        _, read = self.reading(node, ys, yc)
        groups = len(read)
        wanted = pattern.some(read, 1)
        kept = keeps.get(node.x(self.x, 1))
        result = []
        for candidates, weights in self.carried(node, xs):
            lacking = candidates.reshape(groups, -1) & wanted & ~kept.reshape(groups, -1)
            for group in np.flatnonzero(lacking.any(axis=1)):
                members = candidates.reshape(groups, -1)[group] & wanted[group]
                here = kept.reshape(groups, -1)[group]
                if not (candidates.reshape(groups, -1)[group] & here).any():
                    size = np.abs(weights.reshape(groups, -1)[group]) * members
                    result.append((node.inputs[self.x], 1, int(group) * len(here) + int(np.argmax(size))))
        return result

    def axes(self, node: OpNode) -> Correspondence:
        rank, (outer, inner) = len(node.x_shape(self.x)), ("i", "o") if self.out_axis() == 1 else ("o", "i")
        kernel = " ".join(row("k", rank - 2))
        texts = {self.x: "n (g i) *s", self.w: f"(g {outer}) {inner} {kernel}"}
        inputs = [f"x{p}: {texts.get(p, '(g o)')}" for p in range(len(node.inputs))]
        own = "i o" if self.owns_kernel(node) else outer
        positions = "s" if self.out_axis() == 1 else "t"
        loops = f"n g i o {kernel} {positions}"
        return Axes(
            f"{', '.join(inputs)} -> Y: n (g o) *t", whole=f"s t {kernel}", one="i o", own=own, made="o g", loops=loops
        )(node)

    def out_axis(self) -> int:
        """Axis of the stored kernel that holds output channels (of a group, when it is not the first)."""
        return 0

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Kernel cut (each group its own channels), constants moved into the bias or onto the carrier."""
        kernel, bias = self.absorbed(node, cut) if self.takes_constants(node) else (None, None)
        rows, columns = cut.keeps.get((node.inputs[self.w], 0)), cut.keeps.get((node.inputs[self.w], 1))
        groups, edit, own = self.groups(node), Edit(), self.owns_kernel(node)
        out = cut.keeps.get((node.outputs[0], 1))
        ins, outs = cut.keeps.get((node.inputs[self.x], 1)).reshape(groups, -1), out.reshape(groups, -1)
        live = ins.any(axis=1) & outs.any(axis=1)
        if ins.any(axis=1).sum() != groups:
            edit.attributes["group"] = int(ins.any(axis=1).sum())
        inner = outs if self.out_axis() == 1 else ins
        if groups > 1 and own and (kernel is not None or not (inner[inner.any(axis=1)] == columns).all()):
            blocks = self.blocks(np.asarray(node.static(self.w)) if kernel is None else kernel, groups)
            parts = [self.stored(blocks[g : g + 1, outs[g]][:, :, ins[g]]) for g in np.flatnonzero(live)]
            edit.inputs[self.w] = np.concatenate(parts)
        elif kernel is not None:
            edit.inputs[self.w] = cut_array(kernel, [rows, columns])
        if bias is not None:
            edit.inputs[self.bias] = bias[out]
        return edit

    def absorbed(self, node: OpNode, cut: Cut) -> tuple[Array | None, Array | None]:
        """Kernel (as stored, whole) and bias (whole) that make up for what goes; None where nothing changes."""
        known, value = self.channels(node, cut.xs)
        kept = cut.keeps.get((node.inputs[self.x], 1))
        groups, stored = self.groups(node), np.asarray(node.static(self.w))
        blocks = self._onto_carriers(node, cut, kept)
        delta = np.zeros(node.y_shape()[1])
        if self.flat_border(node):
            gone = removed_constants(known, value, kept).reshape(groups, -1, 1)
            delta = (self.sums(node) @ gone).reshape(-1)
        length = len(delta)
        filled = cut.ys[0].per_index(1, length)
        fill = filled[0] & ~cut.derived[0].per_index(1, length)[0] & cut.keeps.get((node.outputs[0], 1))
        fill = fill & self.fills(node)
        bias = self.bias_vector(node, cut.xs, length) + delta
        if fill.any():
            blocks = self.blocks(stored, groups).copy() if blocks is None else blocks
            blocks[fill.reshape(groups, -1)] = 0
            bias = np.where(fill, filled[1], bias)
        kernel = None if blocks is None else self.stored(blocks).astype(stored.dtype)
        if not delta.any() and not fill.any():
            return kernel, None
        return kernel, bias.astype(self.bias_dtype(node, stored))

    def bias_dtype(self, node: OpNode, stored: Array) -> np.dtype[Any]:
        """In what type the bias is stored, beside this kernel."""
        bias = node.static(self.bias) if node.has(self.bias) else None
        return stored.dtype if bias is None else bias.dtype

    def _onto_carriers(self, node: OpNode, cut: Cut, kept: Mask) -> Array | None:
        """The kernel's blocks in which the carriers' taps stand for all that goes; None where they carry nothing."""
        reads = self.reads(node)
        groups, read = len(reads), pattern.some(reads, 1)
        result: Array | None = None
        for members, weight in self.carried(node, cut.xs):
            here, staying = members.reshape(groups, -1), kept.reshape(groups, -1)
            for group in range(groups):
                gone, stay = np.flatnonzero(here[group] & ~staying[group] & read[group]), here[group] & staying[group]
                if not len(gone) or not stay.any():  # nothing that stays reads them
                    continue
                factor = weight.reshape(groups, -1)[group]
                carrier = int(np.argmax(np.abs(factor) * stay))
                if result is None:
                    result = self.blocks(np.asarray(node.static(self.w)), groups).astype(np.float64)
                ratio = factor[gone] / factor[carrier]
                result[group][:, carrier] += np.tensordot(ratio, result[group][:, gone], axes=(0, 1))
        return result

    def entries_kept(self, node: OpNode, position: int, keeps: KeepVectors) -> Mask | None:
        """Those of a grouped kernel, of which every group keeps channels of its own."""
        groups = self.groups(node)
        if position != self.w or groups == 1:
            return None
        ins = keeps.get((node.inputs[self.x], 1)).reshape(groups, 1, -1)
        outs = keeps.get((node.outputs[0], 1)).reshape(groups, -1, 1)
        return np.broadcast_to(self.kernel_mask(node, outs & ins), node.x_shape(self.w))

    def owns_kernel(self, node: OpNode) -> bool:
        """Whether the stored kernel is read by this node alone, so that groups may keep different channels."""
        return bool(node.sole_user) and node.sole_user[self.w]


class Conv(ConvRule):
    """The float convolution with nothing fused to it."""

    stated = replace(ConvRule.stated, carries_nan=(0,), carries_infinity=(0,))

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return None if xs[0] is None else shifted(weighted_sum(xs[0], stored(1), -1), node.inputs, stored)


register(Conv(), "Conv")
