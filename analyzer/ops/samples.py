"""Whether the samples of one feed influence each other: proven from the descriptions, or not proven."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import replace
from functools import partial

import numpy as np

from analyzer.algebra.pattern import Mask, Shape
from analyzer.facts.units import SampleAxis
from analyzer.ops.axes import Axes
from analyzer.ops.context import Call, Context
from analyzer.ops.lengths import measured_axes
from analyzer.ops.move import Moved
from analyzer.ops.operator import traits_of

#: Numbers of samples for which the shapes are written out: an index or a length that the file states fits one at most.
_COUNTS = (2, 3)


def mixes_samples(context: Context, shared: Collection[str] = ()) -> str | None:
    """Why samples that share a feed might influence each other; None where the descriptions prove that they do not.

    Where samples lie is read from the context's shape table (`sample_axes`, seen in a run of two samples). Proven is:
    for any number of samples, every value that depends on them has a sample axis, along which entry i is computed from
    sample i alone. The letter of that axis goes in and comes out; it is never summed over, normalised over, or looked
    up along; movements keep every element with its sample, rows of positions folded into the axis included. What is
    computed from the number of samples may say how long an axis is, and nothing else; and it must grow in proportion
    to that number, or two samples would not show what becomes of three. `shared` are inputs of the model
    that all samples of a feed have in common; any other input without a sample axis leaves the question open, as do an
    operator without a description, a shape that no run showed, and a model of which no input has a sample axis.

    The result is a sentence that names the first node, or input, that leaves it open.
    """
    walk = _Walk(context)
    for name in context.graph.inputs:
        if context.sample_axis(name).axis is not None:
            walk.held.add(name)
        elif name not in shared:
            return f"the input {name} has no axis along which samples lie"
    if not walk.held:
        return "no input has an axis along which samples lie"
    for call in context.calls:
        why = walk.through(call)
        if why is not None:
            return f"{call.op.name} ({call.op.op_type}): {why}"
    counted = [name for name in context.graph.outputs if name in walk.counted]
    return f"the output {counted[0]} is computed from the number of samples" if counted else None


class _Walk:
    """What is known on the way: values that hold samples, and elements of values computed from their number."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.held: set[str] = set()
        self.counted: dict[str, Mask] = {}
        self.bent: set[str] = set()  # of the latter, those that may not be a multiple of the number and a constant
        self._apart: dict[Hashable, bool] = {}

    def through(self, call: Call) -> str | None:
        """Follow one call; why it may mix samples, or None."""
        known = call.barrier is None
        traits = traits_of(call.op.node, partial(self.context.graph.stored_input, call.op.node))
        if known and traits.measures:
            self._measure(call, measured_axes(call.op.node, len(call.op.x_shape())))
            return None
        lengths = {p for p in range(len(call.inputs)) if known and p == traits.target}
        unread = lengths | call.op.zeros
        contents = {n for p, n in enumerate(call.inputs) if n and p not in unread} | set(call.op.node.captured)
        counted = {n: self.counted[n] for n in contents if n in self.counted}
        grown = any(self._grows(name) for name in call.outputs if name)
        if not self.held.intersection((*call.inputs, *contents)) and (counted or not grown):
            self._count(call, counted)
            return None
        if not known:
            return call.barrier
        if self.held.intersection(call.inputs[p] for p in lengths):
            return "a length is computed from what samples hold"
        if self.bent.intersection(call.inputs[p] for p in lengths):
            return "a length does not grow in proportion to the number of samples"
        if counted:
            return "it reads a value that is computed from the number of samples"
        samples = {name: self.context.sample_axis(name) for name in contents & self.held}
        first = samples.get(call.inputs[0], SampleAxis(None)).axis
        if first is not None and traits.limits(first, len(call.op.x_shape())):
            return "how many samples come out may have a limit"
        used = [name for name, read in zip(call.outputs, call.op.used_outputs, strict=True) if read]
        moved = {name: self.context.sample_axis(name) for name in used if name in self.context.shapes}
        if any(axis.axis is None for axis in moved.values()):
            return "its result has no axis along which samples lie"
        if not self._stay_apart(call, samples, moved):
            return "it is not known to keep samples to themselves"
        self.held.update(name for name in call.outputs if name)
        return None

    def _grows(self, name: str) -> bool:
        return name in self.context.table.scrambled or self.context.sample_axis(name).axis is not None

    def _measure(self, call: Call, axes: range) -> None:
        """Lengths of a value: computed from the number of samples where the sample axis is looked at."""
        name = call.inputs[0]
        axis = self.context.sample_axis(name).axis
        unclear = name in self.context.table.scrambled or name not in self.context.shapes
        flags = np.asarray([unclear or at == axis for at in axes], np.bool_)
        if flags.any():
            self.counted[call.outputs[0]] = flags if call.op.out_shapes[0] == flags.shape else np.ones((), np.bool_)

    def _count(self, call: Call, counted: dict[str, Mask]) -> None:
        if counted and (self.bent.intersection(counted) or not _in_proportion(call, counted)):
            self.bent.update(name for name in call.outputs if name)
        if counted and call.barrier is not None:
            self.counted.update({name: np.ones((), np.bool_) for name in call.outputs if name})
        elif counted:
            marks = call.axes.marks(counted)
            self.counted.update({name: mask for name, mask in marks.items() if mask.any()})

    def _stay_apart(self, call: Call, samples: dict[str, SampleAxis], moved: dict[str, SampleAxis]) -> bool:
        """Whether it keeps samples to themselves; found out once for calls that differ in names of values alone."""
        op, said = call.op, call.rule.axes
        names = [*filter(None, (*op.inputs, *op.outputs))]
        if not isinstance(said, Axes) or len(set(names)) < len(names):
            return all(self._kept_apart(call, samples, moved, count) for count in _COUNTS)
        places = tuple(self.context.sample_axis(n) if n else None for n in (*op.inputs, *op.outputs))
        given = tuple(samples.get(n) for n in op.inputs), tuple(moved.get(n) for n in op.outputs)
        key = said, tuple(said.given.items()), op.in_shapes, op.out_shapes, op.used_outputs, places, given
        if key not in self._apart:
            self._apart[key] = all(self._kept_apart(call, samples, moved, count) for count in _COUNTS)
        return self._apart[key]

    def _kept_apart(self, call: Call, samples: dict[str, SampleAxis], moved: dict[str, SampleAxis], count: int) -> bool:
        """Whether that holds for this number of samples."""
        op = call.op
        wide = replace(
            op,
            in_shapes=tuple(self._shape(n, count) if n else None for n in op.inputs),
            out_shapes=tuple(self._shape(n, count) if n else None for n in op.outputs),
            memo={},
        )
        try:
            return call.rule.axes(wide).keeps_samples(samples, moved, count)
        except (LookupError, ValueError):  # lengths that the file states do not fit this number of samples
            return False

    def _shape(self, name: str, count: int) -> Shape | None:
        """The value's shape for this number of samples."""
        shape, at = self.context.shapes.get(name), self.context.sample_axis(name)
        if shape is None or at.axis is None:
            return shape
        return (*shape[: at.axis], at.rows * count, *shape[at.axis + 1 :])


def _in_proportion(call: Call, counted: Collection[str]) -> bool:
    """Whether a step more of these inputs is always the same number of steps more of the outputs, in whole numbers."""
    if call.barrier is not None:
        return False
    if isinstance(call.axes, Moved):
        return True
    affine = call.rule.affine(call.op)
    return affine is not None and all(
        (factor == np.round(factor)).all() for p, factor in affine.factors.items() if call.inputs[p] in counted
    )
