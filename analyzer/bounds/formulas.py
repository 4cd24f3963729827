"""The graph of bounds: formulas over pairs of values, appended to a model that holds the weights and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.bounds.arithmetic import LARGEST, rounded_down, rounded_up
from analyzer.graph import Editor
from analyzer.graph.reductions import reduce_axes
from analyzer.ops.node import OpNode
from analyzer.ops.operator import traits_of


@dataclass(frozen=True, slots=True)
class Interval:
    """Names of two values of the graph of bounds, between which a value of the model lies.

    `floor` and `ceiling` are numbers between which it lies before any run is made. `terms`: it is a sum of so many
    terms, to which a runtime may still add something before it rounds. `wild`: its ends may be as large as numbers are.
    """

    low: str
    high: str
    floor: float = -np.inf
    ceiling: float = np.inf
    terms: int = 0
    wild: bool = False


class Formulas:
    """Appends nodes to an emptied model that still holds its weights; methods return the names of what they made."""

    def __init__(self, editor: Editor, weights: frozenset[str]) -> None:
        self._editor, self._weights = editor, weights
        #: An input of the graph of bounds that is fed 1: what no input enters, onnxruntime would compute when it loads.
        self.one = editor.input("one", "float32", ())
        self._numbers: dict[float, str] = {}
        self._magnitudes: dict[tuple[str, str], str] = {}

    def plus(self, a: str, b: str) -> str:
        """a + b."""
        return self._editor.add("Add", [a, b])

    def minus(self, a: str, b: str) -> str:
        """a - b."""
        return self._editor.add("Sub", [a, b])

    def times(self, a: str, factor: float | str) -> str:
        """a times a number, or a value."""
        return self._editor.add("Mul", [a, factor if isinstance(factor, str) else self.number(factor)])

    def smallest(self, *values: str) -> str:
        """The smallest at each place."""
        return self._editor.add("Min", values) if len(values) > 1 else values[0]

    def largest(self, *values: str) -> str:
        """The largest at each place."""
        return self._editor.add("Max", values) if len(values) > 1 else values[0]

    def negative(self, a: str) -> str:
        """-a."""
        return self._editor.add("Neg", [a])

    def size(self, a: str) -> str:
        """The magnitude of a."""
        return self._editor.add("Abs", [a])

    def less(self, a: str, b: str) -> str:
        """Whether a < b."""
        return self._editor.add("Less", [a, b])

    def where(self, condition: str, a: str, b: str) -> str:
        """a where the condition holds, else b."""
        return self._editor.add("Where", [condition, a, b])

    def number(self, number: float) -> str:
        """A stored number."""
        if number not in self._numbers:
            self._numbers[number] = self.array(np.asarray(number))
        return self._numbers[number]

    def array(self, array: Array) -> str:
        """A stored array in single precision; of others it is rounded, and finite."""
        if array.dtype != np.float32:  # a large weight is not copied in double precision
            array = np.clip(np.asarray(array, np.float64), -LARGEST, LARGEST).astype(np.float32)
        return self._editor.constant(array)

    def between(self, low: Array, high: Array, shape: Shape) -> Interval:
        """The interval between two patterns of a value of this shape."""
        stored = (self.times(self.array(a), self.one) for a in (rounded_down(low), rounded_up(high)))
        ends = [self.spread(a, shape) for a in stored]
        floor, ceiling = float(np.min(low)), float(np.max(high))
        return Interval(ends[0], ends[1], floor, ceiling, wild=max(-floor, ceiling) >= LARGEST)

    def endless(self, shape: Shape) -> Interval:
        """The interval of a value that may be any number."""
        end = np.full((1,) * len(shape), LARGEST)
        return self.between(-end, end, shape)

    def reduced(self, a: str, axis: int, shape: Shape, *, least: bool) -> str:
        """The smallest or the largest along an axis, at every place along it, of a value of this shape."""
        return self.spread(self.extreme(a, [axis], least=least), shape)

    def extreme(self, a: str, axes: Sequence[int], *, least: bool, keep: bool = True) -> str:
        """The smallest or the largest over axes; `keep` leaves them as length 1."""
        return reduce_axes(self._editor, "ReduceMin" if least else "ReduceMax", a, axes, keep=keep)

    def spread(self, a: str, shape: Shape) -> str:
        """The same numbers repeated to a shape."""
        return self._editor.add("Expand", [a, self.lengths(shape)])

    def magnitude(self, x: Interval) -> str:
        """The largest magnitude of what lies in an interval, element by element."""
        if x.floor >= 0:
            return x.high
        key = (x.low, x.high)
        if key not in self._magnitudes:
            below = self.negative(x.low)
            self._magnitudes[key] = below if x.ceiling <= 0 else self.largest(below, x.high)
        return self._magnitudes[key]

    def nearest(self, x: Interval, number: float) -> str:
        """What lies nearest to a number in an interval, element by element."""
        return self.largest(x.low, self.smallest(x.high, self.number(number)))

    def stored(self, op: OpNode, position: int) -> str:
        """A stored input as it is, but for its type: numbers are in single precision."""
        name, array = op.node.inputs[position], op.static(position)
        assert array is not None  # callers ask for no other
        if position not in traits_of(op.node).geometry and array.dtype != np.float32:
            return self.array(array)
        return name if name in self._weights else self._editor.constant(array)

    def lengths(self, shape: Shape) -> str:
        """A stored shape."""
        return self._editor.constant(np.array(shape, np.int64))

    def again(self, op: OpNode, inputs: Mapping[int, str]) -> tuple[str, ...]:
        """The same call, in single precision, with other inputs (none: "") at these positions; its outputs' names."""
        count = max(len(op.node.inputs), *(position + 1 for position in inputs))
        given = [inputs[p] if p in inputs else self.stored(op, p) if op.has(p) else "" for p in range(count)]
        outputs = max(i for i, name in enumerate(op.outputs) if name) + 1
        first = self._editor.add(op.op_type, given, outputs=outputs, domain=op.node.domain, **op.node.attributes)
        return self._editor.siblings(first)

    def guarded(self, x: Interval) -> Interval:
        """What may be no number, or beyond the largest one, is made an end that says nothing: no run passes it."""
        endless, ends = self.number(np.inf), list[str]()
        for end, nothing in ((x.low, -LARGEST), (x.high, LARGEST)):
            ends.append(self.where(self.less(self.size(end), endless), end, self.number(nothing)))
        return Interval(ends[0], ends[1], x.floor, x.ceiling, x.terms, wild=True)
