"""Pooling and resizing: every channel alone, positions mixed.

X [batch, channels, *space]  Y [batch, channels, *space'].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from analyzer.algebra import pattern
from analyzer.algebra.constants import Constants, Multiples
from analyzer.algebra.pattern import Mask
from analyzer.graph import Node
from analyzer.ops.axes import Axes, row
from analyzer.ops.correspondence import Correspondence
from analyzer.ops.largest import Stored
from analyzer.ops.movements import respell
from analyzer.ops.node import OpNode
from analyzer.ops.node_edit import Cut, Edit
from analyzer.ops.operator import Operator, register
from analyzer.ops.pull_back import Tape, Window, by_extreme, by_windows, repeated, window_of
from analyzer.ops.traits import CONTINUOUS, EVERY, NONE, SPATIAL, Traits
from analyzer.ops.trend import LARGEST_OF, Trend


class Spatial(Operator):
    """Channels keep their places; all positions are needed; a constant channel stays what it is."""

    pools = True
    stated = replace(CONTINUOUS, windows=SPATIAL)

    def free_axes(self, node: OpNode) -> list[int]:
        """The axes whose indices keep their places."""
        return [0, 1]

    def keeps_constant(self, node: OpNode) -> bool:
        """Whether a nonzero constant channel comes out as the same constant."""
        return True

    def keeps_zero(self, node: OpNode) -> bool:
        """Whether a zero channel comes out zero."""
        return True

    def keeps_units(self, node: OpNode, axis: int) -> bool:
        return axis in self.free_axes(node)

    def unsupported(self, node: OpNode) -> str | None:
        spread = node.attr("dilations") or []
        hollow = any(n <= d for d, n in zip(spread, node.x_shape()[2:], strict=False) if d > 1)
        if hollow and (any(node.attr("pads") or []) or "SAME" in node.attr("auto_pad", "")):
            return "windows that may lie wholly in the padding"
        return None if node.only_first_output else "its index output is used"

    def axes(self, node: OpNode) -> Correspondence:
        free, computed = self.free_axes(node), self.computed_axes(node)
        x, y = row("x", len(node.x_shape())), row("y", len(node.y_shape()))
        mixed = [letter for axis in range(len(x)) if axis not in free for letter in (x[axis], y[axis])]
        for axis in free:
            y[axis] = x[axis]
        sized = [y[axis] for axis in computed if axis in free]
        text = f"X: {' '.join(x)} -> Y: {' '.join(y)}"
        return Axes(text, whole=" ".join(mixed), computed=" ".join(sized))(node)

    def computed_axes(self, node: OpNode) -> Sequence[int]:
        """Axes that stay whole because their length is computed at run time."""
        return ()

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        mixed = tuple(a for a in range(xs[0].rank) if a not in self.free_axes(node))
        number = xs[0].number
        low, high = number.min(axis=mixed, keepdims=True), number.max(axis=mixed, keepdims=True)
        known = xs[0].known.all(axis=mixed, keepdims=True) & (low == high)
        whole = known if self.keeps_constant(node) else known & (low == 0)
        whole = whole if self.keeps_zero(node) else np.zeros_like(whole)
        multiples = None
        if self.keeps_zero(node) and not self.keeps_constant(node) and (known & ~whole).any():
            multiples = Multiples(node.outputs[0], known, np.where(known, low, 0.0))
        return [Constants(whole, np.where(whole, low, 0.0), multiples)]

    def needs(self, node: OpNode, ys: Sequence[Mask], xs: Sequence[Constants], yc: Sequence[Constants]) -> list[Mask]:
        mixed = tuple(a for a in range(ys[0].ndim) if a not in self.free_axes(node))
        asked = pattern.some(ys[0], mixed, keepdims=True)
        return [asked, *(pattern.uniform(x.rank, True) for x in xs[1:])]

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        """To the largest of each window."""
        return self._through_windows(node, tape, gradient, largest=True)

    def _window(self, node: OpNode) -> Window | None:
        kernel = tuple(int(k) for k in node.attr("kernel_shape") or ())
        inner, outer = node.x_shape()[2:], node.y_shape()[2:]
        return window_of(node, kernel, inner, outer) if len(kernel) == len(inner) else None

    def _through_windows(self, node: OpNode, tape: Tape, gradient: str, *, largest: bool) -> str | None:
        window = self._window(node)
        return None if window is None else by_windows(node, tape, gradient, window, largest=largest)

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        """A window without gaps that may not start beyond the end always sees a position; others give -inf or 0 / 0."""
        gaps = any(d != 1 for d in node.attr("dilations") or ())
        return None if gaps or node.attr("ceil_mode") or len(node.outputs) > 1 else xs[0]


class MaximumPool(Spatial):
    """The largest of a window; padding never is."""

    def largest_of(self, node: OpNode) -> Window | None:
        return self._window(node)

    def trend(self, node: OpNode) -> Trend | None:
        return LARGEST_OF


class AveragePool(Spatial):
    """An average that counts its zero padding makes a constant map fall off at the border."""

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        """Where all windows average as many numbers."""
        padded = any(node.attr("pads") or ()) or "SAME" in node.attr("auto_pad", "NOTSET")
        if node.attr("ceil_mode", 0) or (padded and not node.attr("count_include_pad", 0)):
            return None
        return self._through_windows(node, tape, rows, largest=False)

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        return self._through_windows(node, tape, gradient, largest=False)

    def keeps_constant(self, node: OpNode) -> bool:
        counts = bool(node.attr("count_include_pad", 0))
        auto = node.attr("auto_pad", "NOTSET")
        pads = any(node.attr("pads") or []) or "SAME" in auto or bool(node.attr("ceil_mode", 0))
        return not (counts and pads)

    def trend(self, node: OpNode) -> Trend | None:
        return Trend(terms=prod(node.attr("kernel_shape")), linear=True)


class LpPool(Spatial):
    """A norm over the window: zero stays zero."""

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        return None

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return None

    def keeps_constant(self, node: OpNode) -> bool:
        return False

    def constants(self, node: OpNode, xs: Sequence[Constants]) -> list[Constants]:
        found = super().constants(node, xs)[0]
        return [Constants(found.known, found.value)]  # not linear: no multiples


_MOST_NEIGHBOURS = 64  # of an average between neighbours, and roundings of their weights


class ResizeRule(Spatial):
    """Resize and Upsample: axes of unchanged length keep their places; interpolation weights sum to 1."""

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        return None

    def traits(self, node: Node, stated: Traits, stored: Stored) -> Traits:
        sized = len(node.inputs) > 3 and bool(node.inputs[3])
        return replace(stated, windows=NONE) if sized else stated

    def magnitude(self, node: Node, xs: Sequence[float | None], stored: Stored) -> float | None:
        return None  # cubic weights are larger than one

    def trend(self, node: OpNode) -> Trend | None:
        """Copies, or averages of neighbours; weights of cubic ones are below zero, too."""
        mode, copies = node.attr("mode", "nearest"), node.attr("mode", "nearest") == "nearest"
        sized = all(node.static(p) is not None for p in range(1, len(node.inputs)) if node.has(p))
        if not sized or node.version < 10 or node.attr("antialias", 0) or mode not in ("nearest", "linear"):
            return None
        return Trend(terms=0 if copies and self.keeps_constant(node) else _MOST_NEIGHBOURS, linear=True)

    def free_axes(self, node: OpNode) -> list[int]:
        moved = self._resized(node)
        pairs = zip(node.x_shape(), node.y_shape(), strict=True)
        return [a for a, (x, y) in enumerate(pairs) if x == y and a not in moved]

    def _resized(self, node: OpNode) -> list[int]:
        """Axes whose scale is not stated as 1; with sizes alone, all beyond batch and channel that change."""
        scales = node.static(2 if node.version >= 11 else 1) if node.op_type == "Resize" else node.static(1)
        if node.op_type == "Upsample" and scales is None and node.attr("scales"):
            scales = np.asarray(node.attr("scales"))
        rank = len(node.x_shape())
        if scales is not None and scales.size:
            named = [int(a) % rank for a in node.attr("axes") or range(len(scales))]
            return [a for a, s in zip(named, scales, strict=True) if s != 1]
        return list(range(2, rank))

    def keeps_constant(self, node: OpNode) -> bool:
        outside = "tf_crop_and_resize" in node.attr("coordinate_transformation_mode", "")
        return not outside

    def keeps_zero(self, node: OpNode) -> bool:
        return self.keeps_constant(node)

    def computed_axes(self, node: OpNode) -> Sequence[int]:
        named = self._sized_axes(node)
        computed = named if named and node.static(3) is None else []
        return [*computed, *(axis for axis, piece in enumerate(node.target or ()) if piece is None)]

    def shrink(self, node: OpNode, cut: Cut) -> Edit:
        """Sizes that spell out the length of a cut axis are spelled anew."""
        named = self._sized_axes(node)
        if not named:
            return respell(node, cut, 3) if node.target is not None else Edit()
        new = cut.keeps.shape(node.outputs[0])
        lengths = {place: new[axis] for place, axis in enumerate(named) if new[axis] != node.y_shape()[axis]}
        return Edit(pieces={3: lengths} if lengths else {})

    def _sized_axes(self, node: OpNode) -> list[int]:
        """The axes that `sizes` speaks of where the node names them (from opset 18 on)."""
        rank = len(node.x_shape())
        return [int(a) % rank for a in node.attr("axes") or ()] if node.op_type == "Resize" and node.has(3) else []


class GlobalPool(Spatial):
    """Global maximum or average over all positions."""

    def largest_of(self, node: OpNode) -> Window | None:
        """A window as large as the map."""
        inner = node.x_shape()[2:]
        none = (0,) * len(inner)
        return Window(inner, (1,) * len(inner), (1,) * len(inner), none, none, none) if self._maximum(node) else None

    def _maximum(self, node: OpNode) -> bool:
        return node.op_type == "GlobalMaxPool"

    def trend(self, node: OpNode) -> Trend | None:
        return LARGEST_OF if self._maximum(node) else Trend(terms=prod(node.x_shape()[2:]), linear=True)

    def transposed(self, node: OpNode, position: int, tape: Tape, rows: str, output: int = 0) -> str | None:
        """To all positions alike."""
        return None if self._maximum(node) else self.pull_back(node, position, tape, rows, output)

    def pull_back(self, node: OpNode, position: int, tape: Tape, gradient: str, output: int = 0) -> str | None:
        """To all positions alike; of a maximum to where it is."""
        positions = range(2, len(node.x_shape()))
        if node.op_type == "GlobalMaxPool":
            return by_extreme(node, tape, gradient, positions, largest=True)
        return repeated(node, tape, gradient, positions, mean=True)


_AVERAGED = replace(CONTINUOUS, carries_nan=(0,), carries_infinity=(0,))
_MAXIMUM = replace(CONTINUOUS, keeps_maximum=True, exact_in=EVERY)
register(MaximumPool(), "MaxPool", traits=replace(_MAXIMUM, windows=SPATIAL))
register(AveragePool(), "AveragePool", traits=replace(_AVERAGED, windows=SPATIAL))
register(LpPool(), "LpPool")
register(LpPool(), "GlobalLpPool", traits=CONTINUOUS)
register(GlobalPool(), "GlobalAveragePool", traits=_AVERAGED)
register(GlobalPool(), "GlobalMaxPool", traits=_MAXIMUM)
_SIZED = replace(CONTINUOUS, jumps=True, windows=SPATIAL, lengths_from=(1, 2, 3), geometry=(1, 2, 3))
register(ResizeRule(), "Resize", traits=replace(_SIZED, target=3))
register(ResizeRule(), "Upsample", traits=_SIZED)
