"""A net in which lines stand for all that bends, run forwards: what its values are where bounds are attained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.bounds.formulas import Formulas
from analyzer.bounds.lines import Lines
from analyzer.bounds.region import LINED, Region
from analyzer.bounds.rows import LEAST_OPSET, RowGraph
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call
from analyzer.ops.pull_back import Tape, by_tap, summed_taps
from analyzer.runtime.session import Session

_ONE = np.ones((), np.float32)


class RelaxedGraph:
    """The net in front of a value, with the lines that each row reads, ready to run; rows lie where samples do."""

    def __init__(self, loaded: LoadedModel, region: Region, rows: RowGraph, *, threads: int | None) -> None:
        self._region = region
        editor = Editor(loaded.copy())
        editor.empty(max(LEAST_OPSET, editor.opset))
        self._tape = Tape(editor, "", region.batched)
        self._formulas = Formulas(editor, frozenset(loaded.graph.initializer_names))
        self._lines: dict[str, tuple[str, str]] = {}
        self._ends = {name: self._input(name) for name in rows.ends}
        self._found = dict(self._ends)
        for call in reversed([*rows.through.values()]):  # an operator with several outputs comes several times
            if not any(name in self._found for name in call.outputs):
                self._add(call)
        self._entering = {name: self._found[rows.through[name].op.node.inputs[0]] for name in self._lines}
        editor.output(*sorted({*self._entering.values()} - {*self._ends.values()}))
        editor.finish()
        self._session = Session(editor.loaded, threads=threads)

    def close(self) -> None:
        """Free the session."""
        self._session.close()

    def entering(self, ends: Mapping[str, Array], lines: Mapping[str, Lines]) -> dict[str, Array]:
        """What enters each thing that bends, by the value that comes out; [rows, elements].

        `ends` are values at which rows end, `lines` those that rows read: `low` and `low_shift` are looked at. All
        arrays have an axis of rows in place of the axis of samples.

        Raises:
            RunError: onnxruntime does not run it, as it may where shapes are stored for a single sample.
        """
        feeds = {self._formulas.one: _ONE} | {fed: ends[name] for name, fed in self._ends.items()}
        for name, pair in self._lines.items():
            for fed, array in zip(pair, (lines[name].low, lines[name].low_shift), strict=True):
                feeds[fed] = array.astype(np.float32)
        results = feeds | self._session.run(feeds)
        return {name: results[made].reshape(len(results[made]), -1) for name, made in self._entering.items()}

    def _input(self, name: str) -> str:
        return self._tape.editor.input(name, "float32", [None, *self._region.context.shapes[name][1:]])

    def _add(self, call: Call) -> None:
        op, f = call.op, self._formulas
        trend, name = call.rule.trend(op), call.outputs[0]
        if self._region.kinds[op.node.index] in LINED:
            window, x = call.rule.largest_of(op), self._found[op.node.inputs[0]]
            slope, shift = (self._tape.editor.input(f"{name}/{part}", "float32", None) for part in ("slope", "shift"))
            self._lines[name] = slope, shift
            if window is None:
                self._found[name] = f.plus(f.times(x, slope), shift)
            else:
                parts = f.times(by_tap(op, self._tape, x, window), slope)
                self._found[name] = f.plus(summed_taps(op, self._tape, parts, window), shift)
            return
        given = {p: self._found[op.node.inputs[p]] for p in self._region.computed(call)}
        if trend is not None and trend.spelled is not None:
            given[trend.spelled] = f.lengths(op.y_shape())
        for output, made in zip(op.outputs, f.again(op, given), strict=False):
            if output:
                self._found[output] = made
