"""Rows of Arrow's tables as samples.

Cells may be numbers, words, lists of one length (vectors), lists of several lengths (a sample each), tensors, the
bytes of image files, or text for a tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.probes.fitting import Part
from analyzer.probes.images import takes_images
from analyzer.probes.opener import Opener
from analyzer.probes.tables import Chosen, by_name, choose_columns, table_arrays
from analyzer.probes.texts import TextReader


@dataclass(frozen=True)
class Rows:
    """What of a table's rows is fed, and how."""

    name: str
    opener: Opener
    chosen: Chosen
    images: str | None = None
    texts: tuple[str, TextReader] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are read."""
        return self.chosen.columns

    @property
    def steps(self) -> Mapping[str, str]:
        """How cells become numbers, for reports; nothing for numbers."""
        if self.texts is not None:
            return self.texts[1].steps
        return {} if self.images is None else self.opener.image_steps

    def parts(self, batch: Any, first: int) -> Iterator[Part]:
        """Rows that begin with so many-th (from 1) as parts: one, or where cells are of several lengths one each."""
        fitter = self.opener.sampled.fitter
        for arrays in self._arrays(batch, first):
            yield fitter.part(arrays, self.name)

    def _arrays(self, batch: Any, first: int) -> Iterator[Mapping[str, Array]]:
        if self.texts is not None:
            column, reader = self.texts
            yield from reader.arrays(batch.column(column).to_pylist(), f"{self.name}: row", first)
        elif self.images is not None:
            yield from self._pictures(batch.column(self.images), first)
        else:
            try:
                columns = {n: _values(batch.column(n), f"{self.name}: column '{n}'") for n in self.chosen.columns}
            except _Ragged:
                for row in range(batch.num_rows):
                    yield from self._arrays(batch.slice(row, 1), first + row)
                return
            if batch.num_rows:
                yield table_arrays(columns, self.chosen, self.opener.inputs, self.name, first)

    def _pictures(self, column: Any, first: int) -> Iterator[Mapping[str, Array]]:
        (key,), reader = self.opener.names, self.opener.image_reader
        for row, cell in enumerate(column, start=first):
            where = f"{self.name}: row {row}"
            content = partial(_image_bytes, cell.as_py(), where)
            pixels = lambda content=content, where=where: reader.read(content(), where)  # noqa: E731
            array = self.opener.skipped.read(f"row {row}", pixels, where)
            if array is not None:
                yield {key: array}


def rows_of(schema: Any, name: str, opener: Opener, apart: Sequence[str] = ()) -> Rows:
    """What to feed of a table of this schema; columns `apart` only where an input has their name.

    Raises:
        ProbeError: the columns do not fit the model's inputs.
    """
    try:
        names = list(schema.names)
    except UnicodeDecodeError as error:
        raise ProbeError(f"{name} has columns whose names are no UTF-8 text: write it again.") from error
    if len(set(names)) < len(names):
        raise ProbeError(f"{name} names a column twice: give every column a name of its own.")
    kinds = {n: _kind(schema.field(n).type) for n in names if n not in apart or n in opener.inputs}
    if opener.texts is not None:
        column = _only({n for n, kind in kinds.items() if kind == "text"}, "text", name)
        reader = TextReader.of(opener.texts, opener.inputs)
        return Rows(name, opener, by_name((column,), names), texts=(column, reader))
    images = {n for n, kind in kinds.items() if kind == "image" and takes_images(opener.inputs)}
    rich = {n: kind == "list" or n in images for n, kind in kinds.items()}
    chosen = choose_columns(rich, opener.inputs, name)
    picture = next((n for n in chosen.columns if n in images and not chosen.side_by_side), None)
    if opener.images is not None and picture is None:
        raise ProbeError(f"Image options were given, but {name} holds no images: leave them out.")
    labels = chosen.labels + by_name((*kinds,), names).labels
    return Rows(name, opener, replace(chosen, labels=labels), images=picture)


def _kind(dtype: Any) -> str:
    import pyarrow as pa

    kinds = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return "list" if isinstance(dtype, pa.FixedShapeTensorType) else _kind(dtype.storage_type)
    if kinds.is_list(dtype) or kinds.is_large_list(dtype) or kinds.is_fixed_size_list(dtype):
        return "list"
    if kinds.is_struct(dtype):
        place = dtype.get_field_index("bytes")
        return "image" if place >= 0 and kinds.is_binary(dtype.field(place).type) else "other"
    if kinds.is_binary(dtype) or kinds.is_large_binary(dtype):
        return "image"
    return "text" if kinds.is_string(dtype) or kinds.is_large_string(dtype) else "number"


def _only(columns: set[str], what: str, where: str) -> str:
    column = next(iter(columns & {what, "sentence", "content"} if len(columns) > 1 else columns), None)
    if column is None:
        count = "several columns" if columns else "no column"
        raise ProbeError(f"{where} has {count} of {what}: call the one that is meant '{what}'.")
    return column


class _Ragged(Exception):
    """Lists of a column differ in length."""


def _values(column: Any, where: str) -> Array:
    """The cells as one array with the rows along its first axis."""
    import pyarrow as pa

    dtype, kinds = column.type, pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        if isinstance(dtype, pa.FixedShapeTensorType) and not column.null_count:
            return np.asarray(column.to_numpy_ndarray())
        return _values(column.storage, where)
    if kinds.is_dictionary(dtype):
        return _values(column.dictionary_decode(), where)
    if _kind(dtype) != "list":
        if kinds.is_nested(dtype):
            raise ProbeError(f"{where} holds structures, not numbers: give their parts columns of their own.")
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if column.null_count:
        raise ProbeError(f"{where} has rows without a list: leave them out, or fill them.")
    lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    if lengths.size > 1:
        raise _Ragged
    inner = _values(column.flatten(), where)
    return inner.reshape(len(column), int(lengths[0]) if lengths.size else 0, *inner.shape[1:])


def _image_bytes(cell: Any, where: str) -> bytes:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise ProbeError(f"{where} holds no image, or only its path: store the bytes of the file.")
    return content
