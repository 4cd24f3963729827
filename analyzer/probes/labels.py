"""Labels that lie beside the inputs: files of training data have them, models do not take them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from analyzer.algebra.pattern import Array
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
    arrays: Mapping[str, Any], inputs: Mapping[str, TensorType], *, column: bool = False, row: bool = False
) -> tuple[dict[str, Any], tuple[LabelsInData, ...]]:
    """The arrays without those that look like labels, where exactly the inputs are left; else all of them.

    Labels are named so, or are one whole number or word per sample (`row`: the arrays may be one sample, so a single
    one of these will do). A model with one input takes whatever is left.
    """
    extra = [name for name in arrays if name not in inputs]
    if len(inputs) == 1 and len(extra) == len(arrays) > 1:  # its array has another name as well
        lengths = _lengths(arrays)
        extra = [name for name, array in arrays.items() if _looks_like_labels(name, array, lengths, 2, row)]
    rest = {name: array for name, array in arrays.items() if name not in extra}
    fits = rest.keys() == inputs.keys() or (len(rest) == len(inputs) == 1)
    lengths = _lengths(rest) if extra and fits else Counter()
    if not extra or not fits or not all(_looks_like_labels(name, arrays[name], lengths, 1, row) for name in extra):
        return dict(arrays), ()
    return rest, tuple(LabelsInData(name, column=column, fed=False) for name in extra)


def features(columns: Mapping[str, Array], wanted: int | None) -> tuple[dict[str, Array], tuple[LabelsInData, ...]]:
    """The columns that a model of so many features is fed (None: any number): without one too many, named like labels.

    A first or last column of such a name that is fed is said; a `y` may be a coordinate.
    """
    named = [name for name in columns if named_like_labels(name)]
    if wanted is not None and len(columns) == wanted + 1 and len(named) == 1:
        rest = {name: column for name, column in columns.items() if name not in named}
        return rest, (LabelsInData(named[0], column=True, fed=False),)
    names = list(columns)
    ends = {names[0], names[-1]} if len(names) > 1 else set()
    fed = [name for name in named if name in ends and len(name.strip()) > 1]
    return dict(columns), tuple(LabelsInData(name, column=True, fed=True) for name in fed)


def _lengths(arrays: Mapping[str, Any]) -> Counter[int]:
    return Counter(len(array) for name, given in arrays.items() if (array := as_array(given, f"'{name}'")).ndim)


def _looks_like_labels(name: str, given: Any, lengths: Counter[int], least: int, row: bool) -> bool:
    """Whether it is like labels of arrays of these lengths, at least so many of which are as long."""
    array = as_array(given, f"'{name}'")
    if not array.ndim:
        return row and (named_like_labels(name) or array.dtype.kind in "iubUS")
    if lengths[len(array)] < least:
        return False
    single = array.ndim == 1 or array.shape[1:] == (1,)
    return named_like_labels(name) or (single and array.dtype.kind in "iubUS")
