"""Gradients carried backwards through operators, as nodes: only to look for inputs, so that they may be rough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.algebra import pattern
from analyzer.algebra.pattern import Array, Shape
from analyzer.graph import Editor
from analyzer.graph.reductions import reduce_axes
from analyzer.ops.node import OpNode

STEPS = {"float16": 2.0**-5, "bfloat16": 2.0**-4, "float32": 2.0**-10, "float64": 2.0**-20}
MOST_COPIES = 16  # of one element, whose gradients are added up


@dataclass(frozen=True)
class Tape:
    """Where the nodes are added. `slope`: an input of one number, the derivative that a flat activation pretends to
    have; `batched`: samples lie along axis 0 of every value, else there is but one; `wide`: what is in single precision
    in the model is in double precision here, and no number is rounded to fewer digits on the way.
    """

    editor: Editor
    slope: str
    batched: bool
    wide: bool = False

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; returns the name of its output."""
        return self.editor.add(op_type, inputs, **attributes)

    def number(self, array: npt.ArrayLike, dtype: str | None) -> str:
        """Store an array in this element type."""
        kind = np.dtype(dtype or "float32")
        return self.editor.constant(np.asarray(array, np.float64 if self.wide and kind == np.float32 else kind))

    def both(self, one: str, other: str) -> str:
        """The sum of two gradients of one value."""
        return self.add("Add", one, other)

    def reshaped(self, name: str, shape: Sequence[int]) -> str:
        """The same numbers in another shape, given for one sample."""
        lengths = [-1, *shape[1:]] if self.batched else [*shape]
        return self.add("Reshape", name, self.editor.constant(np.array(lengths, np.int64)))

    def like(self, name: str, shape: Shape, output: Shape) -> str:
        """What has the output's shape summed to that of an operand that was repeated along axes."""
        missing = len(output) - len(shape)
        repeated = [a for a, n in enumerate(output) if a < missing or (shape[a - missing] == 1 and n > 1)]
        summed = reduce_axes(self.editor, "ReduceSum", name, repeated, keep=True) if repeated else name
        return summed if not missing else self.add("Reshape", summed, self.editor.constant(np.array(shape, np.int64)))


def by_difference(node: OpNode, position: int, tape: Tape, gradient: str, *, leaky: bool) -> str:
    """Element by element, by what the operator gives for a number that is a little larger.

    `leaky`: a flat activation pretends to have the slope of the tape, or nothing would be known of what is dead.
    """
    name, dtype = node.node.inputs[position], node.x_dtype or "float32"
    if node.y_dtype != node.x_dtype:  # a cast
        return tape.editor.cast(gradient, dtype)
    step = STEPS.get(dtype, STEPS["float32"])
    size = tape.add("Add", tape.add("Abs", name), tape.number([1.0], dtype))
    little = tape.add("Mul", size, tape.number([step], dtype))
    ends = [
        tape.editor.add(
            node.op_type,
            [shifted if p == position else other for p, other in enumerate(node.node.inputs)],
            domain=node.node.domain,
            **node.node.attributes,
        )
        for shifted in (tape.add("Add", name, little), tape.add("Sub", name, little))
    ]
    slope = tape.add("Div", tape.add("Sub", *ends), tape.add("Mul", little, tape.number([2.0], dtype)))
    if leaky:
        flat = tape.add("Sub", tape.number([1.0], dtype), tape.add("Abs", slope))
        pretended = tape.slope if dtype == "float32" else tape.editor.cast(tape.slope, dtype)
        slope = tape.add("Add", slope, tape.add("Mul", flat, pretended))
    return tape.like(tape.add("Mul", gradient, slope), node.x_shape(position), node.y_shape())


def by_ends(node: OpNode, position: int, tape: Tape, gradient: str, ends: Sequence[tuple[str, float]]) -> str:
    """Where what enters comes out between ends (comparisons that hold there); elsewhere it pretends to have a slope."""
    dtype = node.x_dtype or "float32"
    held = [tape.add(compared, node.node.outputs[0], tape.number([end], dtype)) for compared, end in ends]
    between = tape.editor.cast(held[0] if len(held) == 1 else tape.add("And", *held), dtype)
    pretended = tape.slope if dtype == "float32" else tape.editor.cast(tape.slope, dtype)
    lift = tape.add("Sub", tape.number([1.0], dtype), pretended)
    slope = tape.add("Add", tape.add("Mul", between, lift), pretended)
    return tape.like(tape.add("Mul", gradient, slope), node.x_shape(position), node.y_shape())


def by_factor(node: OpNode, position: int, tape: Tape, gradient: str, factor: Array) -> str:
    """Where the operand is multiplied by stored numbers."""
    alike = bool((np.asarray(factor) == 1).all())
    scaled = gradient if alike else tape.add("Mul", gradient, tape.number(factor, node.x_dtype))
    return tape.like(scaled, node.x_shape(position), node.y_shape())


def by_places(
    node: OpNode, position: int, tape: Tape, gradient: str, places: Sequence[Array], output: int
) -> str | None:
    """Where elements are only moved; `places` say for each axis of the operand which index an element comes from."""
    shape, out = node.x_shape(position), node.y_shape(output)
    known = np.logical_and.reduce([np.broadcast_to(p >= 0, out) for p in places]) if places else np.ones(out, np.bool_)
    steps = [prod(shape[a + 1 :]) for a in range(len(shape))]
    source = sum(
        (np.broadcast_to(p, out) * step for p, step in zip(places, steps, strict=True)), np.zeros(out, np.int64)
    )
    sources, ends = source.reshape(-1)[known.reshape(-1)], np.flatnonzero(known.reshape(-1))
    flat = tape.add("Reshape", gradient, tape.editor.constant(np.array([-1, prod(out)], np.int64)))
    copies = np.bincount(sources, minlength=prod(shape))
    if copies.max(initial=0) > MOST_COPIES:
        return None
    order = np.argsort(sources, kind="stable")
    first = np.concatenate([[0], np.cumsum(copies)[:-1]])
    total = ""
    for copy in range(int(copies.max(initial=0))):
        there = copies > copy
        index = np.where(there, ends[order[np.minimum(first + copy, len(order) - 1)]], 0)
        part = flat
        if len(index) != prod(out) or (index != np.arange(len(index))).any():
            part = tape.add("Gather", flat, tape.editor.constant(index), axis=1)
        if not there.all():
            part = tape.add("Mul", part, tape.number(there, node.x_dtype))
        total = tape.both(total, part) if total else part
    return tape.reshaped(total, shape) if total else None


def repeated(node: OpNode, tape: Tape, gradient: str, axes: Sequence[int], *, mean: bool) -> str:
    """What was summed or averaged over axes."""
    shape = node.x_shape()
    kept = [1 if axis in axes else length for axis, length in enumerate(shape)]
    lengths = [1, *shape[1:]] if tape.batched else [*shape]
    wide = tape.add("Expand", tape.reshaped(gradient, kept), tape.editor.constant(np.array(lengths, np.int64)))
    return tape.add("Mul", wide, tape.number([1 / prod(shape[a] for a in axes)], node.x_dtype)) if mean else wide


def by_extreme(node: OpNode, tape: Tape, gradient: str, axes: Sequence[int], *, largest: bool) -> str | None:
    """What was the largest (or smallest) along axes: to all elements that are it."""
    if tape.batched and 0 in axes:
        return None
    kept = [1 if axis in axes else length for axis, length in enumerate(node.x_shape())]
    extreme = tape.reshaped(node.node.outputs[0], kept)
    passed = tape.add("Less" if largest else "Greater", node.node.inputs[0], extreme)
    chosen = tape.editor.cast(tape.add("Not", passed), node.x_dtype or "float32")
    return tape.add("Mul", chosen, tape.reshaped(gradient, kept))


@dataclass(frozen=True)
class Window:
    """How windows of a kernel lie on the positions of the first input."""

    kernel: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    left: tuple[int, ...]  # positions at the end that no window sees

    @property
    def plain(self) -> dict[str, Any]:
        """The attributes of a convolution of the same windows."""
        return {"strides": [*self.strides], "dilations": [*self.dilations], "pads": [*self.begins, *self.ends]}

    @property
    def reflected(self) -> dict[str, Any] | None:
        """Those of a convolution that does the same with the kernel turned round; None where there is none."""
        begins, ends = ([(k - 1) * d - p for k, d, p in zip(self.kernel, self.dilations, pads, strict=True)]
                        for pads in (self.begins, self.ends))  # fmt: skip
        plain = all(s == 1 for s in self.strides) and min(*begins, *ends) >= 0
        return {"dilations": [*self.dilations], "pads": [*begins, *ends]} if plain else None

    @property
    def spread(self) -> dict[str, Any]:
        """Those of a transposed convolution, whose output has the input's positions."""
        return {**self.plain, "output_padding": [*self.left]}


def window_of(node: OpNode, kernel: Shape, inner: Shape, outer: Shape) -> Window | None:
    """The windows of a call between positions `inner` and `outer`; None where they hang over the end."""
    axes = len(kernel)
    strides = tuple(int(s) for s in node.attr("strides") or [1] * axes)
    dilations = tuple(int(d) for d in node.attr("dilations") or [1] * axes)
    width = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(p) for p in node.attr("pads") or [0] * (2 * axes)]
    auto = node.attr("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        all_ = [max((o - 1) * s + w - i, 0) for o, s, w, i in zip(outer, strides, width, inner, strict=True)]
        less = [total // 2 for total in all_]
        more = [total - half for total, half in zip(all_, less, strict=True)]
        pads = [*less, *more] if auto.endswith("UPPER") else [*more, *less]
    elif auto == "VALID":
        pads = [0] * (2 * axes)
    begins, ends = tuple(pads[:axes]), tuple(pads[axes:])
    seen = [(o - 1) * s + w - b - e for o, s, w, b, e in zip(outer, strides, width, begins, ends, strict=True)]
    left = tuple(i - n for i, n in zip(inner, seen, strict=True))
    fits = all(0 <= n < max(s, d) for n, s, d in zip(left, strides, dilations, strict=True))
    return Window(kernel, strides, dilations, begins, ends, left) if fits else None


def by_windows(node: OpNode, tape: Tape, gradient: str, window: Window, *, largest: bool) -> str:
    """What was averaged over windows, or the largest of each: by kernels that hold a single 1 for every tap."""
    channels, taps, name = node.x_shape()[1], prod(window.kernel), node.node.inputs[0]
    if not largest:
        kernel = tape.number(np.full((channels, 1, *window.kernel), 1 / taps), node.x_dtype)
        return tape.add("ConvTranspose", gradient, kernel, group=channels, **window.spread)
    apart = by_tap(node, tape, name, window)
    top = tap_by_tap(node, tape, node.node.outputs[0], window)
    chosen = tape.editor.cast(tape.add("Not", tape.add("Less", apart, top)), node.x_dtype or "float32")
    shared = tape.add("Mul", tap_by_tap(node, tape, gradient, window), chosen)
    return from_taps(node, tape, shared, window)


def _taps(node: OpNode, tape: Tape, window: Window) -> str:
    """Kernels that hold a single 1, one per tap, for every channel."""
    taps = prod(window.kernel)
    each = np.tile(np.eye(taps).reshape(taps, 1, *window.kernel), (node.x_shape()[1], *[1] * (len(window.kernel) + 1)))
    return tape.number(each, node.x_dtype)


def by_tap(node: OpNode, tape: Tape, name: str, window: Window) -> str:
    """What each tap sees of the input at the output's places, along the axis of channels; 0 in the padding."""
    return tape.add("Conv", name, _taps(node, tape, window), group=node.x_shape()[1], **window.plain)


def summed_taps(node: OpNode, tape: Tape, name: str, window: Window) -> str:
    """The sum over taps, channel by channel."""
    channels = node.x_shape()[1]
    ones = tape.number(np.ones((channels, prod(window.kernel), *[1] * len(window.kernel))), node.x_dtype)
    return tape.add("Conv", name, ones, group=channels)


def tap_by_tap(node: OpNode, tape: Tape, name: str, window: Window) -> str:
    """What has the output's places once for every tap, along the axis of channels."""
    channels = node.x_shape()[1]
    again = tape.number(np.ones((channels * prod(window.kernel), 1, *[1] * len(window.kernel))), node.x_dtype)
    return tape.add("Conv", name, again, group=channels)


def from_taps(node: OpNode, tape: Tape, name: str, window: Window) -> str:
    """What was given to each tap, added up at the places of the input that it saw."""
    return tape.add("ConvTranspose", name, _taps(node, tape, window), group=node.x_shape()[1], **window.spread)


def identity_places(shape: Shape, axis: int) -> Array:
    """Where every index along an axis keeps its place."""
    found: Array = pattern.on_axis(np.arange(shape[axis]), axis, len(shape))
    return found
