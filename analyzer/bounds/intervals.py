"""Interval bounds of the values of a graph, for all inputs of a box: a graph of their own, which onnxruntime runs.

Each operator is bounded by what it says of itself (`Trend`, `WeightedSum`, `Affine`); one that says nothing bounds
nothing, and what it gives out may be any number. What follows is bounded all the same where an operator bounds it
whatever comes, or where weights are exactly zero.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from analyzer.bounds.arithmetic import (
    ARITHMETIC,
    LARGEST,
    LARGEST_VALUE,
    halves_around,
    rounded_down,
    rounded_up,
)
from analyzer.bounds.enclosure import HALF, NUMBERS, SINGLE, Enclosure
from analyzer.bounds.formulas import Formulas, Interval
from analyzer.bounds.free_lengths import with_free_lengths
from analyzer.bounds.magnitudes import of_outputs
from analyzer.facts.domain import Box
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call
from analyzer.ops.shared_context import context_of
from analyzer.runtime.session import Session

LEAST_OPSET = 9  # in which all that is written into a graph of bounds has its present form


def interval_bounds(
    loaded: LoadedModel,
    shapes: ShapeTable,
    inputs: Mapping[str, Box],
    *,
    arithmetic: str = "float32",
    values: Collection[str] = (),
    threads: int | None = None,
) -> Mapping[str, Box]:
    """Boxes that hold the values of one sample, for every input within `inputs`, by the names of the values.

    Inputs of the graph that are not among `inputs` may be any number. `values` are those wanted, all where it is empty;
    one of which nothing is known is absent, and an end that is not known is infinite. `threads` limits those of a run.

    With the `arithmetic` "float32", "tf32" or "float16" bounds hold for what a runtime computes, with sums in any
    order; with "real" for the formulas. They hold for runs in which every value is a finite number, and for inputs as
    long as those of `shapes`.

    Raises:
        ValueError: a box that is none, of another shape than its input, or of what is no input; another arithmetic.
        RunError: onnxruntime does not run the graph of bounds.
    """
    with IntervalGraph(loaded, shapes, inputs, arithmetic=arithmetic, values=values, threads=threads) as graph:
        return graph.bounds(inputs)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The two inputs of the graph of bounds that stand for one of the model."""

    low: str
    high: str


class IntervalGraph:
    """The graph of bounds for boxes within others, ready to run; its memory goes back at the end of a `with` block."""

    def __init__(
        self,
        loaded: LoadedModel,
        shapes: ShapeTable,
        widest: Mapping[str, Box],
        *,
        arithmetic: str = "float32",
        values: Collection[str] = (),
        narrowed: Collection[str] = (),
        threads: int | None = None,
    ) -> None:
        """`widest` are boxes that hold all that bounds will be asked for; the rest as in `interval_bounds`.

        `narrowed` are values of which narrower bounds may be known from elsewhere.
        """
        if arithmetic not in ARITHMETIC:
            raise ValueError(f"arithmetic {arithmetic!r}: it is one of {', '.join(ARITHMETIC)}")
        self._widest, self._shapes = widest, shapes.shapes
        self._context = context_of(loaded.graph, shapes.of_single_samples)
        self._editor = Editor(loaded.copy())
        self._editor.empty(LEAST_OPSET)
        formulas = Formulas(self._editor, frozenset(loaded.graph.initializer_names))
        self._one = formulas.one
        self._enclosure, self._narrow = Enclosure(formulas, ARITHMETIC[arithmetic]), ARITHMETIC[arithmetic].narrow
        self._largest: dict[str, float] = {}
        self._known: dict[str, Interval] = {}
        fixed = {name for name, box in widest.items() if (box.low == box.high).all()}
        self._free = with_free_lengths(loaded.graph.nodes, loaded.graph.inputs.keys() - fixed, shapes.shapes)
        self._formulas, self._narrowed = formulas, dict.fromkeys(narrowed, _Ends("", ""))
        self._fed = {name: self._input(name, box) for name, box in widest.items()}
        wanted = _needed(self._context.calls, values) if values else None
        for call in self._context.calls:
            if not call.op.node.place and (wanted is None or not wanted.isdisjoint(call.outputs)):
                self._add(call)
        asked = [name for name in (values or self._known) if name in self._known]
        self._asked = {name: self._known[name] for name in asked}
        fed = {end for ends in self._fed.values() for end in (ends.low, ends.high)}
        computed = {end for x in self._asked.values() for end in (x.low, x.high)} - fed
        self._editor.output(*sorted(computed))  # what is fed comes back as it is, in memory that nobody holds
        self._editor.finish()
        self._session = Session(self._editor.loaded, threads=threads) if computed else None

    def __enter__(self) -> IntervalGraph:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def bounds(self, inputs: Mapping[str, Box], narrower: Mapping[str, Box] | None = None) -> dict[str, Box]:
        """As `interval_bounds`; the same inputs as at the start, each within its widest box.

        `narrower` are bounds of some of the values that may be `narrowed`, which hold as well.
        """
        feeds = {self._one: np.ones((), np.float32)}
        for name, ends in self._fed.items():
            box = inputs[name]
            self._check(name, box)
            low, high = rounded_down(box.low), rounded_up(box.high)
            narrow = self._narrow and box.low.dtype.kind == "f"
            feeds[ends.low], feeds[ends.high] = halves_around(low, high) if narrow else (low, high)
        for name, ends in self._narrowed.items():
            if ends.low:
                box = (narrower or {}).get(name) or self._everything(name)
                feeds[ends.low], feeds[ends.high] = rounded_down(box.low), rounded_up(box.high)
        results = feeds if self._session is None else {**feeds, **self._session.run(feeds)}
        found = {}
        for name, x in self._asked.items():
            low, high = results[x.low], results[x.high]
            if not low.shape == high.shape == self._shapes[name]:  # what reads them would read fewer numbers
                raise AssertionError(f"the bounds of {name} have another shape: this is a mistake in deadunits")
            if x.wild:
                low, high = np.where(low > -LARGEST, low, -np.inf), np.where(high < LARGEST, high, np.inf)
            if not (low <= high).all():
                raise AssertionError(f"the bounds of {name} cross, or are no numbers: this is a mistake in deadunits")
            if not x.wild or np.isfinite(low).any() or np.isfinite(high).any():
                found[name] = Box(low, high)
        return found

    def _everything(self, name: str) -> Box:
        largest = np.full(self._shapes[name], LARGEST)
        return Box(-largest, largest)

    def _within(self, name: str, x: Interval) -> Interval:
        """The interval of a value, and within bounds that are fed."""
        ends = _Ends(*(self._editor.input(f"{name}/{end}", "float32", self._shapes[name]) for end in ("low", "high")))
        self._narrowed[name], f = ends, self._formulas
        return replace(x, low=f.largest(x.low, ends.low), high=f.smallest(x.high, ends.high))

    def _check(self, name: str, box: Box) -> None:
        widest, shape = self._widest[name], self._shapes.get(name)
        for end in (box.low, box.high):
            if np.shape(end) != shape:
                raise ValueError(f"the box of input {name!r} has shape {np.shape(end)}, the input {shape}")
        if not ((widest.low <= box.low) & (box.low <= box.high) & (box.high <= widest.high)).all():
            raise ValueError(f"the box of input {name!r} has ends that cross, are no numbers, or leave the widest box")

    def _input(self, name: str, box: Box) -> _Ends:
        if name not in self._context.graph.inputs:
            raise ValueError(f"{name!r} is no input of the model: it has {', '.join(self._context.graph.inputs)}")
        self._check(name, box)
        shape = np.shape(box.low)
        ends = _Ends(*(self._editor.input(f"{name}/{end}", "float32", shape) for end in ("low", "high")))
        low, high = (np.asarray(end, np.float64) for end in (box.low, box.high))
        floor, ceiling = float(low.min(initial=np.inf)), float(high.max(initial=-np.inf))
        most = max(-floor, ceiling)
        if self._context.dtype(name) in NUMBERS:
            self._known[name] = Interval(ends.low, ends.high, floor, ceiling, wild=not most <= LARGEST_VALUE)
        if self._context.dtype(name) in (SINGLE, HALF) and most <= LARGEST_VALUE:
            self._largest[name] = most
        return ends

    def _add(self, call: Call) -> None:
        node, op = call.op.node, call.op
        if call.barrier is not None or all(op.has(p) <= (array is not None) for p, array in enumerate(op.statics)):
            return
        most = of_outputs(self._context.graph, node, self._largest)
        xs = [self._known.get(name) for name in node.inputs]
        found = self._enclosure.of(op, call.rule, xs, self._context.dtype, most is None)
        for name, x in zip(node.outputs, found, strict=False):
            if name and x is not None and name in self._shapes and name not in self._free:
                self._known[name] = x = self._within(name, x) if name in self._narrowed else x
                own = max(-x.floor, x.ceiling)
                if most is not None or own <= LARGEST_VALUE:
                    self._largest[name] = own if most is None else min(own, most)


def _needed(calls: Collection[Call], values: Collection[str]) -> set[str]:
    """These values and all that they are computed from."""
    needed = set(values)
    for call in reversed([*calls]):
        if not needed.isdisjoint(call.outputs):
            needed.update(call.op.node.inputs)
    return needed
