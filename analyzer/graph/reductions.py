"""Reductions over axes, in the form that a model's opset wants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.graph.edit import Editor

# Opset from which a reduction takes its axes as an input.
AXES_AS_INPUT = {"ReduceMax": 18, "ReduceMin": 18, "ReduceMean": 18, "ReduceSumSquare": 18, "ReduceSum": 13}


def reduce_axes(editor: Editor, op_type: str, name: str, axes: Sequence[int], *, keep: bool = False) -> str:
    """Append a reduction over these axes in the form that the model's opset wants; `keep` leaves them as length 1."""
    if editor.opset >= AXES_AS_INPUT[op_type]:
        return editor.add(op_type, [name, editor.constant(np.array(axes, np.int64))], keepdims=int(keep))
    return editor.add(op_type, [name], axes=list(axes), keepdims=int(keep))
