"""Tables as probe data: `.csv` and `.tsv` by the standard library, data frames; which column goes to which input."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError, first_line
from analyzer.facts.probe_condition import LabelsInData
from analyzer.graph.view import TensorType
from analyzer.probes.element_types import family
from analyzer.probes.foreign_arrays import as_array
from analyzer.probes.input_names import check_names, quoted
from analyzer.probes.labels import features, named_like_labels
from analyzer.probes.memory import check_size
from analyzer.probes.skipped import Skipped

Columns = dict[str, Array]

_CELL_BYTES = 8  # what a parsed number takes, against about as many characters in the file
_MISSING = frozenset(["", "NA", "NaN", "nan", "null", "None"])


def read_csv(path: Path, skipped: Skipped) -> Columns:
    """Columns by name; `column 1`, … where the first row holds numbers only, but for 0, 1, 2, … Empty cells are NaN.

    Raises:
        OSError: unreadable.
        ProbeError: not text, rows of unequal length, or no rows.
    """
    try:
        check_size(_CELL_BYTES * path.stat().st_size, path.name)
        with path.open(newline="", encoding="utf-8-sig") as stream:
            start = stream.readline()
            stream.seek(0)
            rows = [row for row in csv.reader(stream, delimiter=_delimiter(path, start)) if row]
    except UnicodeDecodeError as error:
        raise ProbeError(f"{path.name} is not UTF-8 text: save the table as UTF-8.") from error
    except csv.Error as error:
        raise ProbeError(f"{path.name} is not a readable table: {first_line(error)}") from error
    if not rows:
        raise ProbeError(f"{path.name} holds no rows: give the model at least one sample.")
    names, body = _header(rows)
    where, first = f"{path.name}: row", 1 + len(rows) - len(body)
    read = (
        skipped.read(f"row {number}", partial(_checked, row, names, f"{where} {number}"), f"{where} {number}")
        for number, row in enumerate(body, first)
    )
    body = [row for row in read if row is not None]
    if not body:
        broken = skipped.all_of_it or "give the model at least one sample"
        raise ProbeError(f"{path.name} holds a header but no rows: {broken}.")
    if len(set(names)) != len(names):
        raise ProbeError(f"{path.name} names a column twice: give every column a name of its own.")
    return {name: _parsed(cells) for name, cells in zip(names, zip(*body, strict=True), strict=True)}


def frame_columns(frame: Any) -> Columns:
    """Columns of a data frame (anything with `columns` and a column by name)."""
    return {str(name): as_array(frame[name].to_numpy(), f"Column '{name}'") for name in frame.columns}


@dataclass(frozen=True)
class Chosen:
    """The columns that a model is fed: one for each input, or all that are left, side by side, for its only one."""

    columns: tuple[str, ...]
    side_by_side: bool
    labels: tuple[LabelsInData, ...]


def choose_columns(columns: Mapping[str, bool], inputs: Mapping[str, TensorType], where: str) -> Chosen:
    """Which columns go where, of these names; True for one whose cells hold more than a number: lists, images, text.

    By name where every input has a column. Else the only input of a model takes the only column of that kind, or all
    columns together.

    Raises:
        ProbeError: the columns do not fit the inputs.
    """
    if len(inputs) > 1:
        if not inputs.keys() <= columns.keys():
            check_names(columns, inputs, where)
        return by_name(tuple(inputs), columns)
    ((name, declared),) = inputs.items()
    width = declared.shape[-1] if declared.shape else None
    rich = [column for column, holds_more in columns.items() if holds_more]
    single = declared.shape is not None and (len(declared.shape) < 2 or declared.shape[1:] == (1,))
    if name in columns and (columns[name] or single):
        return by_name((name,), columns)
    if len(rich) > 1:
        raise ProbeError(
            f"{where} has several columns that could be input '{name}' ({quoted(rich[:8])}): call the one that is "
            f"meant '{name}'."
        )
    if rich:
        return by_name(tuple(rich), columns)
    fed, labels = features(columns, width if isinstance(width, int) else None)
    return Chosen(tuple(fed), side_by_side=True, labels=labels)


def by_name(fed: tuple[str, ...], columns: Iterable[str]) -> Chosen:
    """These columns, one for each input; the others are left out."""
    rest = (name for name in columns if name not in fed)
    labels = tuple(LabelsInData(n, column=True, fed=False, alike=named_like_labels(n)) for n in rest)
    return Chosen(fed, side_by_side=False, labels=labels)


def table_arrays(
    columns: Mapping[str, Array], chosen: Chosen, inputs: Mapping[str, TensorType], where: str, first: int = 1
) -> dict[str, Array]:
    """Arrays by input name; `first` is the number of the first row in messages.

    Raises:
        ProbeError: the columns do not fit the inputs.
    """
    if chosen.side_by_side:
        ((name, declared),) = inputs.items()
        return {name: _matrix({n: columns[n] for n in chosen.columns}, declared, name, where, first)}
    arrays = {}
    for (name, declared), column in zip(inputs.items(), chosen.columns, strict=True):
        values = columns[column] if columns[column].ndim > 1 else _values(columns, column, declared, where, first)
        rank = values.ndim if declared.shape is None else len(declared.shape)
        arrays[name] = values.reshape(-1, *[1] * (rank - 1)) if values.ndim == 1 else values
    return arrays


def _matrix(columns: Columns, declared: TensorType, name: str, where: str, first: int) -> Array:
    shape = declared.shape
    if shape is not None and len(shape) not in (1, 2):
        raise ProbeError(
            f"{where} is a table, but input '{name}' expects {len(shape)} axes: give an .npz file with an "
            "array of that shape."
        )
    width = shape[-1] if shape else None
    if isinstance(width, int) and width != len(columns):
        raise ProbeError(
            f"{where} has {len(columns)} columns, but input '{name}' expects {width}: keep the model's "
            "features only, in its order (columns: "
            f"{quoted(list(columns)[:8])}{', …' if len(columns) > 8 else ''})."
        )
    return np.column_stack([_values(columns, column, declared, where, first) for column in columns])


def _values(columns: Mapping[str, Array], column: str, declared: TensorType, where: str, first: int) -> Array:
    """A column in a type that columns can share; text only where the model wants text."""
    values = columns[column]
    text = values.dtype.kind == "O" or family(values.dtype) == "text"
    if declared.dtype is not None and declared.dtype.kind == "O":
        return values if text else values.astype(str)
    if not text and family(values.dtype) == "other":
        raise ProbeError(
            f"{where}: column '{column}' holds {values.dtype.name}, but the model takes numbers: convert or drop it."
        )
    if not text:
        return values
    for row, value in enumerate(values, start=first):
        if not _is_number(value):
            raise ProbeError(
                f"{where}: column '{column}' holds {str(value)[:40]!r} in sample {row}, but the model takes "
                "numbers: encode or drop the column."
            )
    return np.array([np.nan if v is None else float(v) for v in values])


def _checked(row: list[str], names: Sequence[str], where: str) -> list[str]:
    if len(row) != len(names):
        raise ProbeError(f"{where} has {len(row)} cells, the first has {len(names)}: give every row the same columns.")
    return row


def _delimiter(path: Path, start: str) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=start.count)


def _header(rows: Sequence[list[str]]) -> tuple[list[str], Sequence[list[str]]]:
    first = rows[0]
    if first == [str(i) for i in range(len(first))] and len(first) > 2:  # the names that pandas gives columns
        return first, list(itertools.islice(rows, 1, None))
    if all(_is_number(cell) or cell.strip() in _MISSING for cell in first):
        return [f"column {i}" for i in range(1, len(first) + 1)], rows
    return [cell.strip() for cell in first], list(itertools.islice(rows, 1, None))


def _parsed(cells: Sequence[str]) -> Array:
    """Integers where all cells are, else floats, else the text itself."""
    try:
        return np.array([int(c) for c in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([np.nan if c.strip() in _MISSING else float(c) for c in cells], dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=str)


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
