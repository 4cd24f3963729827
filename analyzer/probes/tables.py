"""Tables as probe data: `.csv` and `.tsv` by the standard library, `.parquet` by pyarrow, data frames."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
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
from analyzer.probes.labels import features, without_labels
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


def read_parquet(path: Path) -> Columns:
    """Columns by name.

    Raises:
        ProbeError: pyarrow is not installed, the file is unreadable or truncated, or larger than memory.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ProbeError(f"Reading {path.name} needs pyarrow: pip install pyarrow, or save it as .csv.") from error
    try:
        with parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            check_size(sum(groups), path.name)
            table = file.read()
        return {n: table.column(i).to_numpy() for i, n in enumerate(table.column_names)}
    except OSError as error:
        raise ProbeError(f"{path.name} cannot be read: {first_line(error)}") from error
    except ArrowException as error:
        raise ProbeError(f"{path.name} is not a readable .parquet file or is truncated: write it again.") from error


def frame_columns(frame: Any) -> Columns:
    """Columns of a data frame (anything with `columns` and a column by name)."""
    return {str(name): as_array(frame[name].to_numpy(), f"Column '{name}'") for name in frame.columns}


def table_arrays(
    columns: Columns, inputs: Mapping[str, TensorType], where: str
) -> tuple[dict[str, Array], tuple[LabelsInData, ...]]:
    """Arrays by input name: all columns side by side for a one-input model, else a column per input.

    And the columns that look like labels.

    Raises:
        ProbeError: the columns do not fit the inputs.
    """
    if len(inputs) == 1:
        ((name, declared),) = inputs.items()
        width = declared.shape[-1] if declared.shape else None
        columns, labels = features(columns, width if isinstance(width, int) else None)
        return {name: _matrix(columns, declared, name, where)}, labels
    columns, labels = without_labels(columns, inputs, column=True)
    check_names(columns, inputs, where)
    arrays = {}
    for name, declared in inputs.items():
        column = _values(columns, name, declared, where)
        rank = 1 if declared.shape is None else len(declared.shape)
        arrays[name] = column.reshape(-1, *[1] * (rank - 1))
    return arrays, labels


def _matrix(columns: Columns, declared: TensorType, name: str, where: str) -> Array:
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
    return np.column_stack([_values(columns, column, declared, where) for column in columns])


def _values(columns: Columns, column: str, declared: TensorType, where: str) -> Array:
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
    for row, value in enumerate(values, start=1):
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
