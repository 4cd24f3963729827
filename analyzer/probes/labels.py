"""What lies beside the inputs: files of training data have labels and more, models do not take them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.facts.probe_condition import LabelsInData
from analyzer.graph.view import TensorType
from analyzer.probes.foreign_arrays import as_array

_NAME = re.compile(
    r"(y|[xy]?_?(test|train|val)_?y|y_?(true|test|train|val)|.*(label|target|ground_?truth|class_?id)s?|class(es)?|gt|truth)",
    re.IGNORECASE,
)


def named_like_labels(name: str) -> bool:
    """Whether a name is one that labels have."""
    return _NAME.fullmatch(name.strip()) is not None


def without_labels(
    arrays: Mapping[str, Any], inputs: Mapping[str, TensorType], *, row: bool = False
) -> tuple[dict[str, Any], tuple[LabelsInData, ...]]:
    """The arrays without what is no input: anything where all inputs are there by name, else what looks like labels.

    Labels are named so, or are one whole number or word per sample (`row`: the arrays may be one sample, so a single
    one of these will do). A model with one input takes whatever is left, if that is one array.
    """
    lengths = _lengths(arrays)
    if inputs.keys() <= arrays.keys():
        extra = {name for name in arrays if name not in inputs}
        of_inputs = _lengths({name: arrays[name] for name in inputs}) if extra else lengths
        alike = {name for name in extra if _looks_like_labels(name, arrays[name], of_inputs, 1, row)}
    else:
        alike = extra = {n for n in arrays if n not in inputs and _looks_like_labels(n, arrays[n], lengths, 2, row)}
        if len(inputs) > 1 or len(arrays) != len(extra) + 1:
            return dict(arrays), ()
    left_out = tuple(LabelsInData(n, column=False, fed=False, alike=n in alike) for n in arrays if n in extra)
    return {name: array for name, array in arrays.items() if name not in extra}, left_out


def features(columns: Iterable[str], wanted: int | None) -> tuple[list[str], tuple[LabelsInData, ...]]:
    """The columns that a model of so many features is fed (None: any number): without one too many, named like labels.

    A first or last column of such a name that is fed is said; a `y` may be a coordinate.
    """
    names = list(columns)
    named = [name for name in names if named_like_labels(name)]
    if wanted is not None and len(names) == wanted + 1 and len(named) == 1:
        return [n for n in names if n not in named], (LabelsInData(named[0], column=True, fed=False),)
    ends = {names[0], names[-1]} if len(names) > 1 else set()
    fed = [name for name in named if name in ends and len(name.strip()) > 1]
    return names, tuple(LabelsInData(name, column=True, fed=True) for name in fed)


def _lengths(arrays: Mapping[str, Any]) -> Counter[int]:
    known = (_array(name, given) for name, given in arrays.items())
    return Counter(len(array) for array in known if array is not None and array.ndim)


def _looks_like_labels(name: str, given: Any, lengths: Counter[int], least: int, row: bool) -> bool:
    """Whether it is like labels of arrays of these lengths, at least so many of which are as long."""
    array = _array(name, given)
    if array is None or not array.ndim:
        return row and (named_like_labels(name) or (array is not None and array.dtype.kind in "iubUS"))
    if lengths[len(array)] < least:
        return False
    single = array.ndim == 1 or array.shape[1:] == (1,)
    return named_like_labels(name) or (single and array.dtype.kind in "iubUS")


def _array(name: str, given: Any) -> Array | None:
    """What is no array is left to whoever reads it as one."""
    try:
        return as_array(given, f"'{name}'")
    except ProbeError:
        return None
