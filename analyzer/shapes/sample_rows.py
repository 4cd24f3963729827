"""How values grow with a second sample, and whether both samples stand in them as they are on their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.facts.tolerances import REBATCHED
from analyzer.facts.units import SampleAxis
from analyzer.graph import Editor
from analyzer.probes.fitting import Feeds


def grown_axis(one: Shape, two: Shape) -> SampleAxis | None:
    """The axis along which a value doubled with the samples; axis None when nothing changed, None when unclear."""
    if one == two:
        return SampleAxis(None)
    if len(one) != len(two):
        return None
    changed = [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    if len(changed) != 1 or two[changed[0]] != 2 * one[changed[0]]:
        return None
    return SampleAxis(changed[0], one[changed[0]])


def same_samples(both: Array, first: Array, second: Array, axis: SampleAxis, tolerance: float | None = None) -> bool:
    """Whether `both` holds the two samples one after the other, up to the rounding of another batch size."""
    if axis.axis is None:
        return close(both, first, tolerance) and close(both, second, tolerance)
    head, tail = np.split(both, 2, axis=axis.axis)
    return close(head, first, tolerance) and close(tail, second, tolerance)


def close(a: Array, b: Array, tolerance: float | None = None) -> bool:
    """Equal up to rounding, relative to the largest entry; NaN equals NaN; other types than floats exactly."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fV" or not a.size:
        return bool(np.array_equal(a, b))
    if tolerance is None:
        tolerance = REBATCHED.get(a.dtype.name, REBATCHED["float32"])
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a64)
    scale = float(np.max(np.abs(a64), where=finite, initial=0.0))
    return bool(np.allclose(a64, b64, rtol=0.0, atol=tolerance * scale, equal_nan=True))


def show_both(both: Feeds, first: Feeds, second: Feeds, coarsest: Mapping[str, str]) -> bool:
    """Whether every output of two samples in one feed shows both as they are on their own.

    `coarsest` is the coarsest element type on the way to each.
    """
    for name, array in both.items():
        axis = grown_axis(np.shape(first[name]), np.shape(array))
        tolerance = REBATCHED.get(coarsest.get(name, ""))
        if axis is None or not same_samples(array, first[name], second[name], axis, tolerance):
            return False
    return True


def row_means(editor: Editor, value: str, rank: int, axis: SampleAxis, *, magnitude: bool = False) -> str:
    """Append nodes that average every row of the sample axis; returns a value of shape [samples * rows]."""
    value = editor.cast(value, "float32")
    if magnitude:
        value = editor.add("Abs", [value])
    if rank <= 1:
        return value
    axes = [i for i in range(rank) if i != axis.axis]
    if editor.opset >= 18:
        return editor.add("ReduceMean", [value, editor.constant(np.array(axes))], keepdims=0)
    return editor.add("ReduceMean", [value], axes=axes, keepdims=0)
