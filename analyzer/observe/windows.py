"""Windows of convolutions and pools: which positions they see."""

from __future__ import annotations

import numpy as np

from analyzer.algebra.pattern import Shape
from analyzer.facts.units import SampleAxis, ShapeTable
from analyzer.graph import Node


def sees_every_position(node: Node, shapes: ShapeTable) -> bool:
    """Whether every position of the first input of a convolution or pool lies under some position of the window.

    Seen in the lengths of one run, so never where they are free, or more with more samples in a feed.
    """
    data, result = shapes.shapes.get(node.inputs[0]), shapes.shapes.get(node.outputs[0])
    free = any(axis >= 2 for axis in shapes.dynamic.get(node.inputs[0], ()))
    samples_first = shapes.batchable and shapes.sample_axes.get(node.inputs[0], SampleAxis(None)).axis == 0
    if data is None or result is None or free or not samples_first:
        return False
    window = _window(node, shapes, len(data) - 2)
    if window is None:
        return False
    strides = node.attr("strides") or [1] * len(window)
    dilations = node.attr("dilations") or [1] * len(window)
    pads = node.attr("pads") or [0] * 2 * len(window)
    if (node.attr("auto_pad") or "NOTSET") not in ("NOTSET", "VALID"):
        return False
    axes = range(len(window))
    return all(covered(data[2 + a], result[2 + a], window[a], strides[a], dilations[a], pads[a]) for a in axes)


def covered(length: int, count: int, window: int, stride: int, dilation: int, pad: int) -> bool:
    """Whether `count` windows touch each of so many positions."""
    seen = np.zeros(length, np.bool_)
    # Taps and windows are alike in this: one loop over the fewer of them, as a file may declare any number of taps.
    (few, jump), (many, step) = sorted([(window, dilation), (count, stride)])
    for index in range(few):
        start = index * jump - pad
        stop = start + (many - 1) * step + 1
        seen[(start if start >= 0 else start % step) : max(stop, 0) : step] = True
    return bool(seen.all())


def _window(node: Node, shapes: ShapeTable, rank: int) -> Shape | None:
    kernel = shapes.shapes.get(node.inputs[1], ()) if len(node.inputs) > 1 else ()
    window = tuple(node.attr("kernel_shape") or kernel[2:])
    return window if len(window) == rank else None
