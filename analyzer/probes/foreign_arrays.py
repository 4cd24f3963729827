"""NumPy arrays of whatever people hold: arrays, tensors of any framework, lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line


def as_array(value: Any, label: str) -> Array:
    """A NumPy array from an array, a tensor of any framework (by its own methods), or a list."""
    if isinstance(value, np.ndarray):
        return value
    try:
        for method in ("detach", "cpu"):
            if callable(getattr(value, method, None)):
                value = getattr(value, method)()
        if callable(getattr(value, "numpy", None)):
            return np.asarray(_numpy_of(value))
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProbeError(f"{label} cannot be read as one array: {first_line(error)}") from error


def _numpy_of(value: Any) -> Any:
    try:
        return value.numpy()
    except TypeError:
        # PyTorch has no NumPy form of its bfloat16; float32 holds the same values.
        return value.float().numpy()
