"""How a node changes when indices go: what a rule's `shrink` is given, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps
from analyzer.algebra.pattern import Array, Mask
from analyzer.graph.deferred import LARGE, Deferred


@dataclass(frozen=True, slots=True)
class Cut:
    """What stays of the node's values, and what is constant in them.

    `xs` and `ys` are the constants of inputs and outputs (observed ones included); `derived` those of the outputs
    that follow from the inputs alone: an output that is constant but not derived must be filled in.
    """

    keeps: Keeps
    xs: Sequence[Constants]
    ys: Sequence[Constants]
    derived: Sequence[Constants]


@dataclass(slots=True)
class Edit:
    """New stored inputs by position (already cut), new attributes (None: drop), a stored summand for output 0.

    `factor` is what output 0 then lacks. `pieces` gives, per input position that holds a shape, the new lengths by
    axis. Inputs behind those in `drop_inputs` move up; those in `leave_out` are optional, and their places stay empty.
    `becomes` is another operator that the node is made.
    """

    inputs: dict[int, Array | Deferred] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    add: Array | None = None
    factor: float = 1.0
    pieces: dict[int, dict[int, int]] = field(default_factory=dict)
    drop_outputs: tuple[int, ...] = ()
    drop_inputs: tuple[int, ...] = ()
    leave_out: tuple[int, ...] = ()
    becomes: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing changes beyond the cut of stored tensors."""
        changes = (
            self.inputs,
            self.attributes,
            self.drop_outputs,
            self.drop_inputs,
            self.leave_out,
            self.pieces,
            self.becomes,
        )
        return not any(changes) and self.add is None and self.factor == 1


def cut_array(array: Array, vectors: Sequence[Mask]) -> Array:
    """The array without the indices that go."""
    for axis, vector in enumerate(vectors):
        if array.ndim and not vector.all():
            array = array.compress(vector, axis)
    return np.asarray(array, order="C")  # a single number stays one


def cut_when_read(array: Array, vectors: Sequence[Mask], zeros: Mask | None = None) -> Array | Deferred:
    """The same, of a large array each time that it is read; where `zeros`, a pattern, holds, it is zero."""

    def cut() -> Array:
        left = cut_array(array, vectors)
        if zeros is None:
            return left
        masks = [
            vector if length > 1 else np.ones(1, np.bool_) for vector, length in zip(vectors, zeros.shape, strict=True)
        ]
        return np.where(cut_array(zeros, masks), 0, left).astype(left.dtype)

    if array.nbytes < LARGE or array.dtype.kind not in "fiub":
        return cut()
    return Deferred(tuple(int(vector.sum()) for vector in vectors), array.dtype, cut)


def removed_constants(known: Mask, value: Array, kept: Mask) -> Array:
    """Per index the constant that goes, 0 where nothing constant goes."""
    return np.where(known & ~kept, value, 0.0)
