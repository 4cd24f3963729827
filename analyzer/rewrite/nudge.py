"""The same model with other last digits, to see what its outputs make of rounding."""

from __future__ import annotations

import numpy as np

from analyzer.graph import Editor, LoadedModel
from analyzer.runtime.session import Session


def nudged(loaded: LoadedModel, threads: int | None, seed: int) -> Session:
    """A session of the model in which every weight but 0 is the next number up or down, at random, if that is finite.

    Raises:
        RunError: onnxruntime refuses it.
    """
    copy, random = loaded.copy(), np.random.default_rng(seed)
    editor = Editor(copy)
    for name in sorted(loaded.graph.initializer_names):
        array = loaded.graph.constant(name)
        if array is not None and array.dtype.kind == "f":
            toward = np.where(array == 0, 0, random.choice([-np.inf, np.inf], size=array.shape)).astype(array.dtype)
            with np.errstate(over="ignore"):
                moved = np.nextafter(array, toward)
            editor.set_tensor(name, np.where(np.isfinite(moved), moved, array))
    return Session(copy, threads=threads)
