"""Insert bridges: gathers (and a pad) on an edge, which leave the model's outputs as they are.

narrow: reader(Gather(value, live)) for a reader whose weight the following cut narrows; before the cut the gather
takes every index. widen: reader(Gather(Pad(Gather(value, live)), places)), dead places reading the padded zero; where
they were other constants, these are added, one stored number for each place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.algebra.pattern import Array, Shape
from analyzer.facts.bridge import Bridge
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel
from analyzer.graph.edit import GATHER

PAD_TAKES_INPUTS = 11


def insert_bridges(loaded: LoadedModel, table: ShapeTable, bridges: Sequence[Bridge]) -> tuple[LoadedModel, ShapeTable]:
    """The model with all bridges in place, and the shapes of the new values."""
    copy, new = loaded.copy(), dict[str, tuple[str, Shape]]()
    editor = Editor(copy)
    for number, bridge in enumerate(bridges):
        shape, axis = table.shapes[bridge.value], bridge.axis
        for name, length in _insert(editor, bridge, shape, f"deadunits/{bridge.kind}/{number}"):
            new[name] = bridge.value, (*shape[:axis], length, *shape[axis + 1 :])
    return copy, table.with_values(new)


def _insert(editor: Editor, bridge: Bridge, shape: Shape, stem: str) -> list[tuple[str, int]]:
    """Put the nodes of a bridge on its edge; returns their names, and how long the bridged axis is behind each."""
    axis, length, rank = bridge.axis, shape[bridge.axis], len(shape)

    def insert(op_type: str, name: str, operand: str, array: Array, **attributes: int) -> str:
        tensor = editor.add_tensor(f"{name}/{operand}", array)
        return editor.insert_before(bridge.node, bridge.position, op_type, [tensor], attributes, name)

    def gather(name: str, indices: Array) -> str:
        return insert(GATHER, name, "indices", indices, axis=axis)

    if bridge.kind == "narrow":
        return [(gather(stem, np.arange(length)), length)]
    live = np.setdiff1d(np.arange(length), bridge.dead)
    places = np.full(length, len(live), np.int64)
    places[live] = np.arange(len(live))
    nodes = [(gather(f"{stem}/take", live), len(live))]
    pads, name = np.zeros(2 * rank, np.int64), f"{stem}/pad"
    pads[rank + axis] = 1
    if editor.opset < PAD_TAKES_INPUTS:
        padded = editor.insert_before(bridge.node, bridge.position, "Pad", [], {"pads": pads.tolist()}, name)
    else:
        padded = insert("Pad", name, "pads", pads)
    nodes += [(padded, len(live) + 1), (gather(f"{stem}/place", places), length)]
    if any(bridge.fill):
        constants = np.zeros((length, *(1,) * (rank - axis - 1)), bridge.dtype)
        constants.reshape(-1)[list(bridge.dead)] = bridge.fill
        nodes.append((insert("Add", f"{stem}/constants", "values", constants), length))
    return nodes
