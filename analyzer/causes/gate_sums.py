"""Hidden units of recurrent layers: what feeds their gates, computed for suspects from what the layer reads and gives.

The sums are written beside the layer: `W x` of every step, and `R h` of what its output was a step before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.causes.verdict_rules import Ruling
from analyzer.facts.audit import LayerVerdicts
from analyzer.facts.causes import CauseCode
from analyzer.facts.spread import Spread, Watched
from analyzer.facts.units import Curve, SampleAxis, ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.ops.context import Call, Context
from analyzer.ops.gates import Gates
from analyzer.ops.joined_units import joined_units

SLICE_BY_INPUTS = 10  # the opset from which Slice takes its bounds as inputs
_ALL = 2**31 - 1


@dataclass(frozen=True, eq=False)
class GatedLayer:
    """A recurrent layer with dead units: `places` are their directions and hidden indices."""

    gates: Gates
    value: str
    places: Mapping[int, tuple[int, int]]
    flat_gradient: float
    call: Call

    def fed(self, direction: int) -> str:
        """The name under which what feeds the gates of one direction is measured."""
        return f"deadunits/gates of {self.value}, direction {direction}"

    def hidden(self, direction: int) -> list[int]:
        """The suspects of one direction."""
        return sorted({h for d, h in self.places.values() if d == direction})

    def ruling(self, unit: int, value: float, spreads: Mapping[str, Spread]) -> Ruling | None:
        """Why a dead unit stays at its value; None where nothing was measured."""
        direction, h = self.places[unit]
        names, spread = self.gates.names, spreads.get(self.fed(direction))
        if self.gates.empty[direction, h] and value == 0:
            return Ruling(
                CauseCode.ZERO_KERNEL, "nothing enters it: all weights and the bias of its candidate are zero"
            )
        if spread is None:
            return None
        suspects = self.hidden(direction)
        at = [place * len(suspects) + suspects.index(h) for place in range(len(names))]
        low, high = spread.minimum[at], spread.maximum[at]
        edge = Curve.SIGMOID.edge(self.flat_gradient)
        gates = [*zip(names, self.gates.functions[direction], low, high, strict=True)]
        shut = [f"its {n} stays shut" for n, f, _, top in gates if f == "sigmoid" and top <= -edge]
        full = [f"its {n} stays open" for n, f, bottom, _ in gates if f == "sigmoid" and bottom >= edge]
        still = [f"its {n} does not vary" for n, f, bottom, top in gates if f != "sigmoid" and bottom == top]
        ranges = ", ".join(f"{n} {bottom:.3g} to {top:.3g}" for n, _, bottom, top in gates)
        detail = f"it stays at {value:g}: {', '.join((*shut, *full, *still)) or 'no gate is flat'} (sums: {ranges})"
        return Ruling(CauseCode.SATURATED if shut or full else CauseCode.UNKNOWN, detail)


def gated_calls(context: Context) -> dict[str, tuple[Call, Gates]]:
    """The calls that have gates, by the node's name."""
    asked = ((call, call.rule.gates(call.op)) for call in context.calls if call.barrier is None)
    return {call.op.name: (call, gates) for call, gates in asked if gates is not None}


def gated_layer(
    context: Context, call: Call, gates: Gates, layer: LayerVerdicts, dead: Collection[int], flat_gradient: float
) -> GatedLayer | None:
    """The recurrent layer whose dead units these are; None where directions are not told apart."""
    joined = joined_units(context, call)
    if joined is not None and joined.value == layer.value:
        outer, inner = joined.places
        places = {unit: (int(outer[unit]), int(inner[unit])) for unit in dead}
    elif call.outputs[0] == layer.value and len(gates.backward) == 1:
        places = {unit: (0, unit) for unit in dead}
    else:
        return None
    return GatedLayer(gates, layer.value, places, flat_gradient, call)


def with_gates(
    loaded: LoadedModel, shapes: ShapeTable, layers: Sequence[GatedLayer]
) -> tuple[LoadedModel, ShapeTable, dict[str, Watched]]:
    """The model and its shapes with what feeds the gates of suspects; what to measure by the names that layers use."""
    editor = Editor(loaded.copy())
    known, samples, types = dict(shapes.shapes), dict(shapes.sample_axes), dict(shapes.dtypes)
    named: dict[str, Watched] = {}
    for layer in layers:
        y = layer.call.op.node.outputs[0]
        steps, _, batch, _ = layer.call.op.y_shape()
        at, dtype = shapes.sample_axes.get(y, SampleAxis(None)), shapes.dtypes.get(y, "float32")
        for direction in sorted({d for d, _ in layer.places.values()}):
            width = len(layer.hidden(direction)) * len(layer.gates.names)
            name = _sums(editor, layer, direction, dtype)
            known[name], types[name] = (steps, batch, width), dtype
            samples[name] = at if at.axis is None else replace(at, axis=1)
            named[layer.fed(direction)] = Watched(name, 2, width, 3)
    return editor.loaded, replace(shapes, shapes=known, sample_axes=samples, dtypes=types), named


def _sums(editor: Editor, layer: GatedLayer, direction: int, dtype: str) -> str:
    """Append `W x + R h + bias` of the suspects' gates: [t, b, gates * suspects]."""
    gates, op, suspects = layer.gates, layer.call.op, layer.hidden(direction)

    def stored(array: Array) -> str:
        return editor.constant(np.ascontiguousarray(array, dtype=dtype))

    w, r = (
        stored(part[direction][:, suspects].reshape(len(gates.names) * len(suspects), -1).T)
        for part in (gates.w, gates.r)
    )
    units = editor.add("Gather", [op.node.outputs[0], editor.constant(np.array(direction))], axis=1)
    if op.has(gates.start):
        start = editor.add("Gather", [op.node.inputs[gates.start], editor.constant(np.array([direction]))], axis=0)
    else:
        first = editor.add("Gather", [units, editor.constant(np.array([0]))], axis=0)
        start = editor.add("Sub", [first, first])
    backward = gates.backward[direction]
    rest = _steps(editor, units, *((1, _ALL) if backward else (0, -1)))
    before = editor.add("Concat", [rest, start] if backward else [start, rest], axis=0)
    parts = [editor.add("MatMul", pair) for pair in ([op.node.inputs[gates.data], w], [before, r])]
    return editor.add("Add", [editor.add("Add", parts), stored(gates.bias[direction][:, suspects].reshape(-1))])


def _steps(editor: Editor, name: str, start: int, end: int) -> str:
    """Append a part of the first axis."""
    if editor.opset < SLICE_BY_INPUTS:
        return editor.add("Slice", [name], starts=[start], ends=[end], axes=[0])
    return editor.add("Slice", [name, *(editor.constant(np.array([number])) for number in (start, end, 0))])
