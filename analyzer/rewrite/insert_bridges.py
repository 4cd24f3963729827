"""Insert bridges: gathers (and a pad) on an edge, which leave the model's outputs as they are.

narrow: reader(Gather(value, live)) for a reader whose weight the following cut narrows; before the cut the gather
takes every index. widen: reader(Gather(Pad(Gather(value, live)), places)), dead places reading the padded zero; where
they were other constants, these are added, one stored number for each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analyzer.algebra.pattern import Shape
from analyzer.facts.bridge import Bridge
from analyzer.facts.units import ShapeTable
from analyzer.graph import Editor, LoadedModel

PAD_TAKES_INPUTS = 11


def insert_bridges(loaded: LoadedModel, table: ShapeTable, bridges: Sequence[Bridge]) -> tuple[LoadedModel, ShapeTable]:
    """The model with all bridges in place, and the shapes of the new values."""
    copy = loaded.copy()
    editor, shapes, axes = Editor(copy), dict(table.shapes), dict(table.sample_axes)
    dtypes, dynamic = dict(table.dtypes), dict(table.dynamic)
    for number, bridge in enumerate(bridges):
        stem = f"deadunits/{bridge.kind}/{number}"
        length = table.shapes[bridge.value][bridge.axis]
        if bridge.kind == "narrow":
            names = [_gather(editor, bridge, np.arange(length), stem)]
            lengths = [length]
        else:
            live = np.setdiff1d(np.arange(length), bridge.dead)
            places = np.full(length, len(live), np.int64)
            places[live] = np.arange(len(live))
            names = [_gather(editor, bridge, live, f"{stem}/take")]
            names.append(_pad(editor, bridge, len(table.shapes[bridge.value]), loaded, f"{stem}/pad"))
            names.append(_gather(editor, bridge, places, f"{stem}/place"))
            lengths = [len(live), len(live) + 1, length]
            if any(bridge.fill):
                names.append(_add(editor, bridge, table.shapes[bridge.value], f"{stem}/constants"))
                lengths.append(length)
        for name, size in zip(names, lengths, strict=True):
            shape = list(table.shapes[bridge.value])
            shape[bridge.axis] = size
            shapes[name] = tuple(shape)
            if bridge.value in dtypes:
                dtypes[name] = dtypes[bridge.value]
            if bridge.value in dynamic:
                dynamic[name] = dynamic[bridge.value]
            if bridge.value in axes:
                axes[name] = axes[bridge.value]
    return copy, replace(table, shapes=shapes, sample_axes=axes, dtypes=dtypes, dynamic=dynamic)


def _gather(editor: Editor, bridge: Bridge, indices: np.ndarray[tuple[int], np.dtype[np.int64]], name: str) -> str:
    tensor = editor.add_tensor(f"{name}/indices", indices.astype(np.int64))
    return editor.insert_before(bridge.node, bridge.position, "Gather", [tensor], {"axis": bridge.axis}, name)


def _pad(editor: Editor, bridge: Bridge, rank: int, loaded: LoadedModel, name: str) -> str:
    pads = [0] * (2 * rank)
    pads[rank + bridge.axis] = 1
    if loaded.graph.opsets.get("", 1) < PAD_TAKES_INPUTS:
        return editor.insert_before(bridge.node, bridge.position, "Pad", [], {"pads": pads}, name)
    tensor = editor.add_tensor(f"{name}/pads", np.asarray(pads, np.int64))
    return editor.insert_before(bridge.node, bridge.position, "Pad", [tensor], {}, name)


def _add(editor: Editor, bridge: Bridge, shape: Shape, name: str) -> str:
    constants = np.zeros((shape[bridge.axis], *(1,) * (len(shape) - bridge.axis - 1)), bridge.dtype)
    constants.reshape(-1)[list(bridge.dead)] = bridge.fill
    tensor = editor.add_tensor(f"{name}/values", constants)
    return editor.insert_before(bridge.node, bridge.position, "Add", [tensor], {}, name)
