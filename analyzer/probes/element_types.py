"""Which element types of probe data are accepted for which element type of a model's input.

Accepted: any float for a float (files are often saved as float64), integers and booleans for a float,
integers for integers, text for text. Refused: a float for an integer (it would be cut off silently),
anything else for a boolean. Values that do not fit the narrower type are refused when they are met, never
wrapped around.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.algebra.pattern import BFLOAT16, Array
from analyzer.errors import ProbeError

DType = np.dtype[Any]

_ACCEPTED = {
    "float": {"float", "integer", "boolean"},
    "integer": {"integer", "boolean"},
    "boolean": {"boolean"},
    "complex": {"complex", "float", "integer", "boolean"},
    "text": {"text"},
}


def family(dtype: DType) -> str:
    """`float`, `integer`, `boolean`, `complex`, `text`, `object` or `other`; knows ml_dtypes."""
    if dtype.kind in "USTO":
        return "object" if dtype.kind == "O" else "text"
    if dtype.kind == "b":
        return "boolean"
    name = dtype.name
    if name.startswith(("int", "uint")):
        return "integer"
    if name.startswith(("float", "bfloat")):
        return "float"
    return "complex" if dtype.kind == "c" else "other"


def dtype_name(dtype: DType) -> str:
    """The name for messages; text of every width is `string`, and so is what ONNX strings are loaded as."""
    return "string" if family(dtype) in ("text", "object") else dtype.name


def readable(array: Array, wanted: DType | None, label: str) -> Array:
    """The array, with what files cannot say put right: bfloat16 saved as raw bytes, text in an object array.

    Raises:
        ProbeError: the array holds Python objects.
    """
    if array.dtype.kind == "V" and array.dtype.names is None and wanted == BFLOAT16 and array.dtype.itemsize == 2:
        # NumPy's file format forgets the name of an extension type and keeps only its width.
        return array.view(BFLOAT16) if array.dtype != BFLOAT16 else array
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise ProbeError(f"{label} holds text that is not UTF-8: encode it as UTF-8.") from error
    if array.dtype.kind != "O":
        return array
    if array.size and all(isinstance(item, str | bytes) for item in array.flat):
        return array.astype(str)
    raise ProbeError(
        f"{label} holds Python objects, not numbers: save it as an array of one element type (object arrays "
        "need pickle, which is refused)."
    )


def accepts(wanted: DType | None, came: DType) -> bool:
    """Whether data of type `came` may be fed to an input of type `wanted` (None: anything may)."""
    if wanted is None:
        return True
    target = "text" if wanted.kind == "O" else family(wanted)
    return wanted == came or family(came) in _ACCEPTED.get(target, set())


def cast(array: Array, wanted: DType | None, label: str) -> Array:
    """The array in the model's type, C-contiguous and in native byte order; no copy where none is needed.

    Raises:
        ProbeError: a value does not fit the narrower type.
    """
    if wanted is None:
        wanted = array.dtype.newbyteorder("=") if family(array.dtype) != "text" else np.dtype(object)
    if wanted.kind == "O":
        return np.asarray(array.astype(str), dtype=object, order="C")
    if array.dtype == wanted:
        return np.asarray(array, order="C")
    if family(wanted) == "integer" and array.size:
        _check_range(array, wanted, label)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            return np.asarray(array.astype(wanted), order="C")
    except FloatingPointError as error:
        raise ProbeError(f"{label} holds values too large for {wanted.name}: scale the data as in training.") from error


def _check_range(array: Array, wanted: DType, label: str) -> None:
    smallest, largest = _limits(wanted)
    low, high = int(array.min()), int(array.max())
    if low < smallest or high > largest:
        raise ProbeError(
            f"{label} holds {low if low < smallest else high}, which does not fit {wanted.name} ({smallest} "
            f"to {largest}): give the values the model was trained on."
        )


def _limits(wanted: DType) -> tuple[int, int]:
    """The range of an integer type; int4 and its like are not NumPy's own, their names say it."""
    bits = int(wanted.name.lstrip("uint"))
    return (0, 2**bits - 1) if wanted.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
