"""How large the terms of linear calls are, and what the calls give for nothing: by the operators themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.arithmetic import LARGEST, TINIEST
from analyzer.bounds.formulas import Formulas
from analyzer.facts.domain import Box
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call
from analyzer.runtime.session import Session

LEAST_OPSET = 9
_LOST = 2.0**-105  # in place of a weight that may be flushed to 0


@dataclass(frozen=True, eq=False)
class Sizes:
    """By value: the sums of the magnitudes of what is added up, and what comes out where nothing goes in."""

    sizes: Mapping[str, Array]
    offsets: Mapping[str, Array]


class SizeGraph:
    """Graphs of the magnitudes of sums, and of offsets, ready to run."""

    def __init__(
        self, loaded: LoadedModel, linear: Iterable[Call], summed: Iterable[Call], *, threads: int | None
    ) -> None:
        """`linear` are all calls of which offsets are wanted, `summed` those of which sizes are."""
        self._graph = _Graph(loaded, summed, of_sizes=True, threads=threads)
        with _Graph(loaded, linear, of_sizes=False, threads=threads) as offsets:
            nothing = {name: np.zeros(shape, np.float32) for name, shape in offsets.fed.items()}
            self._offsets = {
                name: array.astype(np.float64) for name, array in offsets.run(nothing, offsets.made).items()
            }

    def close(self) -> None:
        """Free the session."""
        self._graph.__exit__()

    def within(self, boxes: Mapping[str, Box], values: Collection[str]) -> Sizes:
        """The sizes of some values where those before them lie within boxes; infinite where one is not bounded."""
        feeds, endless = dict[str, Array](), set[str]()
        for name, shape in self._graph.fed.items():
            box = boxes.get(name)
            far = np.full(shape, np.inf) if box is None else np.maximum(np.abs(box.low), np.abs(box.high))
            if not np.isfinite(far).all():
                endless.add(name)
            feeds[name] = np.clip(far, 0, LARGEST).astype(np.float32)
        wanted = [name for name in values if name in self._graph.made]
        found = self._graph.run(feeds, wanted)
        sizes = {n: np.where(np.isfinite(a), a.astype(np.float64), np.inf) for n, a in found.items()}
        for name in endless:
            for made in sizes.keys() & set(self._graph.readers[name]):
                sizes[made] = np.full(sizes[made].shape, np.inf)
        return Sizes(sizes, self._offsets)


class _Graph:
    """One of these graphs: `fed` are the shapes of what is fed, `readers` the values that are computed of each."""

    def __init__(self, loaded: LoadedModel, calls: Iterable[Call], *, of_sizes: bool, threads: int | None) -> None:
        self.fed, self.readers = dict[str, tuple[int, ...]](), dict[str, list[str]]()
        self._inputs, self._outputs = dict[str, str](), dict[str, str]()
        editor = Editor(loaded.copy())
        editor.empty(LEAST_OPSET)
        formulas = Formulas(editor, frozenset(loaded.graph.initializer_names))
        self._one = formulas.one
        for call in calls:
            given, op = dict[int, str](), call.op
            total, trend = call.rule.weighted_sum(op), call.rule.trend(op)
            for position, array in enumerate(op.statics):
                name = op.node.inputs[position] if op.has(position) else ""
                if not name or array is not None:
                    continue
                if trend is not None and position == trend.spelled:
                    given[position] = formulas.lengths(op.y_shape())
                    continue
                if name not in self._inputs:
                    self.fed[name] = op.x_shape(position)
                    self._inputs[name] = editor.input(f"{name}/fed", "float32", op.x_shape(position))
                self.readers.setdefault(name, []).extend(op.outputs)
                given[position] = self._inputs[name]
            if of_sizes and total is not None:
                weight, bias = op.static(total.weight), None if total.bias is None else op.static(total.bias)
                assert weight is not None  # sums have stored weights here
                small = np.where(np.abs(weight) < TINIEST, _LOST, np.abs(weight))
                signs = [float(np.sign(scale or 1.0)) for scale in total.scales]
                given[total.weight] = formulas.array(np.where(weight == 0, 0, small) * signs[0])
                if bias is not None and total.bias is not None:
                    given[total.bias] = formulas.array(np.abs(bias) * signs[1])
            for name, end in zip(op.outputs, formulas.again(op, given), strict=False):
                if name:
                    self._outputs[name] = end
        editor.output(*self._outputs.values())
        editor.finish()
        self._session = Session(editor.loaded, threads=threads) if self._outputs else None

    def __enter__(self) -> _Graph:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    @property
    def made(self) -> Collection[str]:
        """The values that are computed."""
        return self._outputs.keys()

    def run(self, feeds: Mapping[str, Array], values: Collection[str]) -> dict[str, Array]:
        """What comes out, by the names of the values that are wanted."""
        if self._session is None or not values:
            return {}
        fed = {self._inputs[name]: array for name, array in feeds.items()} | {self._one: np.ones((), np.float32)}
        results = self._session.run(fed, [self._outputs[name] for name in values])
        return {name: results[self._outputs[name]] for name in values}
