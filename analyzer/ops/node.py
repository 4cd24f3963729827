"""One operator call as its rule sees it: attributes, concrete shapes, stored arrays, keep vectors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Ref
from analyzer.algebra.pattern import Array, Shape
from analyzer.graph import Node


@dataclass(frozen=True, slots=True, eq=False)
class OpNode:
    """A node with what is known about its values; `shapes` are those of a run with one sample."""

    node: Node
    in_shapes: tuple[Shape | None, ...]
    out_shapes: tuple[Shape | None, ...]
    statics: tuple[Array | None, ...]
    sole_user: tuple[bool, ...] = ()
    in_free: tuple[frozenset[int], ...] = ()  # per input, axes whose length another feed may change
    x_dtype: str | None = None  # NumPy name of the first input's element type, where it is known
    y_dtype: str | None = None  # NumPy name of that of the first output
    target: tuple[int | None, ...] | None = None  # pieces of a shape operand; None where computed at run time
    follows: tuple[tuple[Ref, Ref], ...] = ()  # axes of the output whose lengths are measured, and of which axes
    averages: tuple[int | None, ...] = ()  # per input an axis along which it averages: its entries add up to 1
    partly: tuple[Constants | None, ...] = ()  # per input of whole numbers that are computed: which are fixed
    lowest: tuple[float | None, ...] = ()  # per input a number that it is never below, where it is computed
    level: int | None = None  # axis of the first output along which a common summand changes nothing behind it
    memo: dict[str, Any] = field(default_factory=dict)  # what a rule computed from stored arrays alone
    used_outputs: tuple[bool, ...] = ()  # outputs that some node reads or that the graph gives out
    reads: tuple[str, ...] | None = None  # input names, where they are not the node's own: copies of shared tensors
    zeros: frozenset[int] = frozenset()  # inputs that are zero whatever the model is fed, which may be left out
    branch: int | None = None  # of a choice between branches the one that is always taken: 0 for a true condition
    used_axes: frozenset[int] | None = None  # axes of the input that a Shape node's readers look at; None: all

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def op_type(self) -> str:
        """The operator."""
        return self.node.op_type

    @property
    def version(self) -> int:
        """The operator set version of the node's domain."""
        return self.node.version

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input value names; empty where an optional input is missing."""
        return self.node.inputs if self.reads is None else self.reads

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output value names."""
        return self.node.outputs

    @property
    def only_first_output(self) -> bool:
        """Whether nothing but the first output is used."""
        return not any(self.used_outputs[1:])

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value, or the default."""
        return self.node.attr(name, default)

    def has(self, position: int) -> bool:
        """Whether the input is given."""
        return position < len(self.inputs) and bool(self.inputs[position])

    def static(self, position: int) -> Array | None:
        """The input's array when the file alone decides it."""
        return self.statics[position] if self.has(position) else None

    def without(self, positions: frozenset[int]) -> OpNode:
        """The same call with these inputs left out."""
        given = tuple("" if p in positions else name for p, name in enumerate(self.inputs))
        return replace(self, reads=given) if positions else self

    def ints(self, position: int, attribute: str) -> list[int] | None:
        """Integers given as an input in newer opsets and as an attribute in older ones; None when neither is known."""
        array = self.static(position)
        if array is not None:
            return [int(v) for v in array.reshape(-1)]
        value = None if self.has(position) else self.attr(attribute)
        return None if value is None else [int(v) for v in np.asarray(value).reshape(-1)]

    def x_shape(self, position: int = 0) -> Shape:
        """Concrete shape of an input; callers run only when it is known."""
        shape = self.in_shapes[position]
        if shape is None:
            raise LookupError(f"shape of {self.inputs[position]} is unknown")
        return shape

    def y_shape(self, position: int = 0) -> Shape:
        """Concrete shape of an output; callers run only when it is known."""
        shape = self.out_shapes[position]
        if shape is None:
            raise LookupError(f"shape of {self.outputs[position]} is unknown")
        return shape

    def x(self, position: int, axis: int) -> Ref:
        """Reference to an axis of an input, for keep vectors."""
        return self.inputs[position], axis % max(len(self.x_shape(position)), 1)

    def y(self, axis: int, position: int = 0) -> Ref:
        """Reference to an axis of an output, for keep vectors."""
        return self.outputs[position], axis % max(len(self.y_shape(position)), 1)
